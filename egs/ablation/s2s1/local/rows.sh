# shellcheck shell=bash disable=SC2154
# The ablation table, sourced by run.sh: row NAME ABOUT OPTION...
# A row is a tag of the mini recipe, with options of its s2s.sh: its overrides, and what is decoded (`--decode qa` and `--adapters ctc` by default). It trains the stages that it changes, and those that build on
# them; everything else is the recipe's. A row has the minutes of the recipe, max_minutes of each stage's YAML;
# `--dialogue_args "--max_minutes 5"` gives it others.
lora="--model llm_tuning.lora.rank=8 --model llm_tuning.lora.alpha=16.0 --lr_scale llm_tuning"
answers="--model targets=answers --train_dir '${mini_dump}/dialogue/train' --valid_dir '${mini_dump}/dialogue/dev'"

row frozen "the recipe itself, the LLM frozen; CTC-compressed adapter, prompt embedding, the LLM's own answers" \
    --decode "asr qa tts"

# The LLM's side: prompt, prefix or LoRA.
row no_prompt "no prompt embedding" --dialogue_args "--model prompt=0"
row prefix "learned keys and values before every layer of the LLM, with the prompt embedding" \
    --dialogue_args "--model llm_tuning.prefix.positions=16"
row lora "LoRA of rank 8 on the LLM's attention in stage 1.3, with the prompt embedding" --dialogue_args "${lora}=0.25"
row lora_early "the same LoRA from stage 1.2 on" \
    --adapter_args "${lora}=0.5" --dialogue_args "--lr_scale llm_tuning=0.25"

# Targets.
row reference "the questions' reference answers as the target of stage 1.3, not the LLM's own" \
    --dialogue_args "--train_dir '${reference}/train' '${mini_dump}/dialogue/train' --valid_dir '${reference}/dev' '${mini_dump}/dialogue/dev'"
row kl "stage 1.3 also by token-level KL from the LLM that reads the question" --dialogue_args "--model kl_weight=1.0"
row answers "the LLM's own answers as the target of stage 1.2, not the transcript" \
    --decode "asr qa" --adapter_args "${answers}"
row answers_kl "the same with token-level KL in stages 1.2 and 1.3" --decode "asr qa" \
    --adapter_args "${answers} --model kl_weight=1.0" --dialogue_args "--model kl_weight=1.0"

# The adapter and the encoder.
row conv "the paper's convolution adapter" --decode "asr qa" --adapters conv
row dynamic_chunks "an encoder trained with dynamic chunks" \
    --decode "asr qa" --encoder_args "--model encoder.dynamic_chunks=true"

# The voice. With and without NAR prefix are two columns of every row that speaks.
row no_pre_network "a speech decoder without pre-network" \
    --decode tts --speech_decoder_args "--model speech_decoder.pre_layers=0"
