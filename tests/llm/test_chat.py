"""Chat templates of every kind give the ids of the tokenizer's own rendering."""

from __future__ import annotations

import pytest

from freeze_omni.llm.chat import FIXED_DATE, ChatTemplate, ChatTemplateError
from tests.toy import KINDS, toy_tokenizer

SYSTEM = "You are a helpful assistant."
TURNS = [("Hello, my name is Anna.", "Hello Anna!"), ("What is the capital?", "Paris.")]


def rendered(tokenizer, turns, system=SYSTEM):
    messages = [{"role": "system", "content": system}]
    for user, answer in turns:
        messages.append({"role": "user", "content": user})
        messages += [{"role": "assistant", "content": answer}] if answer else []
    if "System role not supported" in tokenizer.chat_template:
        first = messages.pop(0)["content"]
        messages[0]["content"] = f"{first}\n\n{messages[0]['content']}"
    prompt = turns[-1][1] is None
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=prompt, date_string=FIXED_DATE)
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("turns", [1, 2])
def test_a_question_is_what_the_template_renders(kind, turns):
    tokenizer = toy_tokenizer(kind)
    asked = [*TURNS[: turns - 1], (TURNS[turns - 1][0], None)]
    assert ChatTemplate.from_tokenizer(tokenizer).dialogue(SYSTEM, asked) == rendered(tokenizer, asked)


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_pieces_make_the_whole_and_the_end_token_waits(kind):
    tokenizer = toy_tokenizer(kind)
    chat = ChatTemplate.from_tokenizer(tokenizer)
    encode = tokenizer.encode
    whole = (
        chat.system(SYSTEM)
        + chat.user_prefix()
        + chat.user_text(TURNS[0][0])
        + chat.user_suffix()
        + encode(TURNS[0][1], add_special_tokens=False)
        + chat.user_prefix(first=False)
        + chat.user_text(TURNS[1][0])
        + chat.user_suffix()
    )
    assert whole == rendered(tokenizer, [TURNS[0], (TURNS[1][0], None)])
    assert chat.user_prefix(first=False)[0] == chat.end_id
    ends = {"llama": "<|eot_id|>", "gemma": "<end_of_turn>"}
    assert tokenizer.convert_ids_to_tokens(chat.end_id) == ends.get(kind, "<|im_end|>")


def test_no_template_is_an_error():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = None
    with pytest.raises(ChatTemplateError, match="no chat template"):
        ChatTemplate.from_tokenizer(tokenizer)


def test_a_template_that_drops_turns_is_an_error():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = "{{ messages[-1]['content'] }}"
    with pytest.raises(ChatTemplateError, match="drops or reorders"):
        ChatTemplate.from_tokenizer(tokenizer)


def test_a_template_that_fails_is_an_error():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = "{{ raise_exception('always') }}"
    with pytest.raises(ChatTemplateError, match="always"):
        ChatTemplate.from_tokenizer(tokenizer)


def test_a_template_that_ignores_the_system_role_gets_it_in_the_first_turn():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages if m['role'] != 'system' %}"
        "{{ '[' + m['role'] + ']' + m['content'] + '<|im_end|>' }}{% endfor %}"
    )
    chat = ChatTemplate.from_tokenizer(tokenizer)
    ids = chat.dialogue("Be brief.", [("Hello", None)])
    assert tokenizer.decode(ids).startswith("[user]Be brief.\n\nHello<|im_end|>")
