"""Check whether an LLM can be the frozen backbone: its cache, width, chat template, end token, and one short answer."""

import argparse
import sys

from freeze_omni.config import ConfigError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("llm", help="folder, or hub id as USER/NAME or USER/NAME@REVISION, of any causal LM")
    parser.add_argument("--llm_revision", help="commit, tag or branch of a hub id")
    parser.add_argument("--question", default="What is the capital of France?")
    parser.add_argument("--dtype", default="auto", help="auto (as stored), float32, bfloat16 or float16")
    parser.add_argument("--max_new_tokens", type=int, default=24)
    args = parser.parse_args(arguments)
    from freeze_omni.llm.frozen import FrozenLLM
    from freeze_omni.llm.source import pinned

    try:
        llm = FrozenLLM.load(pinned(args.llm, args.llm_revision), args.dtype)
        facts = describe(llm, args.question, args.max_new_tokens)
    except ConfigError as error:
        print(f"check_llm: error: {error}", file=sys.stderr)
        return 1
    for name, value in facts.items():
        print(f"{name:<22}{value}")
    return 0


def describe(llm, question: str, max_new_tokens: int) -> dict[str, object]:
    """What was read, and one answer. Raises ChatTemplateError for an answer that begins with a reasoning."""
    from freeze_omni.llm.chat import FIXED_DATE
    from freeze_omni.llm.generate import GenerationConfig, generate_batch

    texts, tokenizer = llm.chat.texts, llm.tokenizer
    prompt = llm.chat.dialogue("You are a helpful voice assistant.", [(question, None)])
    answer = generate_batch(llm, [prompt], GenerationConfig(max_new_tokens))[0]
    llm.chat.check_answer(answer.ids)
    memory_gb = sum(weight.numel() * weight.element_size() for weight in llm.model.parameters()) / 1e9
    commit = getattr(llm.model.config, "_commit_hash", None)
    return {
        "architecture": llm.config.model_type,
        **({"revision": commit} if commit else {}),
        "dtype": f"{str(llm.model.dtype).removeprefix('torch.')}, {memory_gb:.2f} GB",
        "hidden size": llm.hidden_size,
        "vocabulary": llm.vocab_size,
        "context": llm.context_positions if llm.context_positions < 2**31 else "no limit named",
        "parameters": f"{sum(weight.numel() for weight in llm.model.parameters()) / 1e6:.1f} M, all frozen",
        "cache": "keys and values in every layer; reads alike in pieces, after forks and cuts, in batches",
        "system role": "has one" if texts.after_system.strip() else "none: its text opens the first user turn",
        "reasoning": "closed before each answer" if llm.chat.closes_thinking else "none",
        "date": f"always {FIXED_DATE}, as in training" if llm.chat.prints_date else "none",
        "before a user's turn": repr(texts.after_system),
        "after it": repr(texts.user_suffix),
        "between turns": repr(texts.between),
        "end token": f"{tokenizer.convert_ids_to_tokens(llm.chat.end_id)} ({llm.chat.end_id})",
        "asked": question,
        "answers": tokenizer.decode(answer.ids, skip_special_tokens=True).strip(),
    }


if __name__ == "__main__":
    sys.exit(main())
