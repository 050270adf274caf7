"""Write what a pretrained model's decoder says of the sound of a data directory, as it does in use: the table `said`,
for stages 1.2 and 1.3. A killed run resumes. Options that are not listed are those of dump_feats, which writes the
features that go with it."""

import argparse
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn

from freeze_omni.bin.dump_feats import load_frontend
from freeze_omni.bin.errors import user_errors
from freeze_omni.bin.stages import stage_options
from freeze_omni.bin.where import add_device, add_part, device_of
from freeze_omni.config import ConfigError, build
from freeze_omni.data.said import dump_said
from freeze_omni.encoder.load_transcriber import read_transcriber
from freeze_omni.encoder.transcriber import Transcriber, TranscriberConfig, build_transcriber
from freeze_omni.frontend.pretrained import PretrainedFrontend
from freeze_omni.listening import Listening
from freeze_omni.llm.source import check_source, read_tokenizer
from freeze_omni.stages import stage


@user_errors(ValueError, name="dump_said")
def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="dump_said", description=__doc__)
    parser.add_argument("--config", required=True, help="YAML of stage 1.1; its model: frontend is read")
    parser.add_argument("--encoder", required=True, help="the frontend's model: folder, or hub id")
    parser.add_argument("--transcriber", required=True, help="whose decoder speaks, as --encoder: folder, or hub id")
    parser.add_argument("--language", default="en", help="of the transcriber, if it knows many [%(default)s]")
    parser.add_argument("--llm", required=True, help="the frozen LLM, in whose tokens it is said")
    parser.add_argument("--data_dir", required=True, help="with wav.scp; any rate is resampled")
    parser.add_argument("--output_dir", required=True)
    add_device(parser)
    add_part(parser)
    args, training = parser.parse_known_args(arguments)
    task, options = stage_options(stage("encoder"), args.config, ["--encoder", args.encoder, *training])
    config = task.set_up(options)[0]
    if config.frontend is None:
        raise ConfigError(f"{args.config}: no `model: frontend`, of which the transcriber is the decoder")
    device, used = device_of(args.device, args.part), config.frontend

    @lru_cache(maxsize=1)  # nothing is loaded if all is done
    def parts() -> tuple[PretrainedFrontend, Transcriber]:
        keys, weights = read_transcriber(args.transcriber, read_tokenizer(check_source(args.llm)), args.language)
        frontend = load_frontend(used, args.encoder, task.sources(options))
        transcriber = build_transcriber(build(TranscriberConfig, keys, "--transcriber"), used)
        transcriber.load_state_dict(weights)
        return frontend.to(device).eval(), transcriber.to(device)

    data, output = Path(args.data_dir), Path(args.output_dir)
    done = dump_said(lambda sounds: said(*parts(), sounds), data, output, args.part)
    print(f"dump_said: {done} utterances in {args.output_dir}/said")


@torch.inference_mode()
def said(frontend: PretrainedFrontend, transcriber: Transcriber, sounds: Sequence[Tensor]) -> list[list[int]]:
    """Samples (S,) of some sounds to the numbers of each (`freeze_omni.data.said`)."""
    lengths = torch.tensor([len(sound) for sound in sounds])
    wav = nn.utils.rnn.pad_sequence(list(sounds), batch_first=True)
    listening = Listening(frontend, None, None, chunk_samples=frontend.chunk_samples, transcriber=transcriber)
    found = listening.hear_all(*listening.with_end(wav.to(frontend.device), lengths.to(frontend.device)))[2]
    assert found is not None
    rows = []
    for row, size in enumerate(found.lengths.tolist()):
        chunks = (found.ends[row, :, None] <= torch.arange(size, device=found.ends.device)).sum(0)
        numbers = torch.stack([found.words[row, :size], chunks, found.until[row, :size]], dim=1)
        rows.append(numbers.flatten().tolist())
    return rows


if __name__ == "__main__":
    main()
