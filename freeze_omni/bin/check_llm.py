"""Check whether an LLM can be the frozen backbone: its width, chat template, end token, and one short answer."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("llm", help="folder or hub id of any causal LM of transformers")
    parser.add_argument("--question", default="What is the capital of France?")
    parser.add_argument("--dtype", default="float32", help="float32, bfloat16 or float16")
    parser.add_argument("--max_new_tokens", type=int, default=24)
    args = parser.parse_args(arguments)
    from freeze_omni.llm.chat import ChatTemplateError
    from freeze_omni.llm.frozen import FrozenLLM, LlmError
    from freeze_omni.llm.generate import GenerationConfig, generate_batch

    try:
        llm = FrozenLLM.load(args.llm, args.dtype)
    except (LlmError, ChatTemplateError, ValueError) as error:
        print(f"check_llm: error: {error}", file=sys.stderr)
        return 1
    texts, tokenizer = llm.chat.texts, llm.tokenizer
    prompt = llm.chat.dialogue("You are a helpful voice assistant.", [(args.question, None)])
    answer = generate_batch(llm, [prompt], GenerationConfig(args.max_new_tokens))[0]
    facts = {
        "architecture": llm.config.model_type,
        "hidden size": llm.hidden_size,
        "vocabulary": llm.vocab_size,
        "parameters": f"{sum(weight.numel() for weight in llm.model.parameters()) / 1e6:.1f} M, all frozen",
        "system role": "has one" if texts.after_system.strip() else "none: its text opens the first user turn",
        "before a user's turn": repr(texts.after_system),
        "after it": repr(texts.user_suffix),
        "between turns": repr(texts.between),
        "end token": f"{tokenizer.convert_ids_to_tokens(llm.chat.end_id)} ({llm.chat.end_id})",
        "asked": args.question,
        "answers": tokenizer.decode(answer.ids, skip_special_tokens=True).strip(),
    }
    for name, value in facts.items():
        print(f"{name:<22}{value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
