"""The figures that the paper reports (arXiv 2411.00774 v5), by the names of its test sets."""

import re

# CER or WER in percent: chunk = infinity | chunk = 4 | chunk = 4, trained without dynamic chunks
ASR = {
    "aishell_test": (2.15, 2.79, 2.48),
    "test_net": (8.57, 12.6, 11.8),
    "test_meeting": (10.09, 14.2, 13.46),
    "dev_clean": (3.29, 4.16, 4.03),
    "dev_other": (7.4, 10.21, 9.45),
    "test_clean": (3.24, 4.05, 3.82),
    "test_other": (7.68, 10.48, 9.79),
}
ASR_NAMES = ("chunk = infinity", "chunk = 4", "chunk = 4, no dynamic chunks")
# Accuracy in percent: Freeze-Omni | its LLM on the text
QA = {"web_questions": (44.73, 45.13), "llama_questions": (72.0, 77.67), "trivia_qa": (53.88, 63.93)}
# CER in percent of 1,000 Mandarin utterances at top-k 1 to 5, by paraformer-zh, with prefix and pre-network
TTS = (2.19, 1.69, 1.85, 1.9, 1.99)
# ms: average | 50 % | 90 %, from the interruption to the first PCM
LATENCY_MS = (745, 753, 1020)


def same_set(name: str) -> str:
    """A test set's name in the tables above: `test-clean` and `LibriSpeech test clean` are test_clean."""
    plain = re.sub(r"\W+", "_", name.lower()).strip("_")
    if "aishell" in plain and "aishell_3" not in plain and plain.endswith("test"):
        return "aishell_test"
    for known in (*ASR, *QA):
        if plain == known or plain.endswith(f"_{known}") or plain.replace("_", "") == known.replace("_", ""):
            return known
    return plain
