"""Chat templates of every kind give the ids of the tokenizer's own rendering."""

from __future__ import annotations

import datetime
import types

import pytest
from transformers.utils import chat_template_utils

from freeze_omni.llm.chat import FIXED_DATE, ChatTemplate, ChatTemplateError
from tests.llm.templates import PLAIN, SWITCH, THINKING, TOKENIZERS, UNKNOWN_THINKING, opening, tokenizer_of
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


class Clock(datetime.datetime):
    """In place of `datetime` where templates take it from."""

    @classmethod
    def now(cls, tz=None):
        return cls(*cls.today_is)


@pytest.fixture
def on(monkeypatch):
    """on(year, month, day): from then on templates think that it is that day."""

    def set_today(*date):
        Clock.today_is = date
        monkeypatch.setattr(chat_template_utils, "datetime", Clock)

    return set_today


@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize("name", PLAIN)
def test_every_piece_has_the_ids_of_the_whole(name, kind, on):
    """System texts in the first user turn, spaces before texts, dates: with tokenizers that mark words by spaces."""
    on(2024, 7, 26)
    tokenizer = tokenizer_of(kind, PLAIN[name])
    chat = ChatTemplate.from_tokenizer(tokenizer)
    asked = [[(TURNS[0][0], None)], [TURNS[0], (TURNS[1][0], None)]]
    for turns in asked:
        assert chat.dialogue(SYSTEM, turns) == rendered(tokenizer, turns), chat.texts


@pytest.mark.parametrize("name", PLAIN)
def test_the_prompt_is_the_same_on_every_day(name, on):
    prompts = []
    for date in ((2026, 11, 27), (2031, 2, 3)):
        on(*date)
        chat = ChatTemplate.from_tokenizer(tokenizer_of("byte level", PLAIN[name]))
        prompts.append(chat.dialogue(SYSTEM, TURNS))
    assert prompts[0] == prompts[1]
    assert chat.prints_date == name.startswith("date")


@pytest.mark.parametrize("code", ["%d %B %Y", "%Y-%m-%d", "%A, %-d %b %y", "%e/%-m, %H:%M:%S", "%F %T", "%c", "%j"])
def test_dates_of_every_form_are_those_of_the_fixed_day(code, on):
    tokenizer = tokenizer_of(
        "byte level", "  {% if true %}\n[{{ strftime_now('" + code + "') }}]{% endif %}" + PLAIN["chatml"]
    )
    texts = ChatTemplate.from_tokenizer(tokenizer).texts
    assert f"[{datetime.datetime(2024, 7, 26).strftime(code)}]" in texts.before_system
    on(2024, 7, 26, 0, 0)
    whole = tokenizer.apply_chat_template([{"role": "user", "content": "x"}], tokenize=False)
    assert texts.before_system.partition("]")[0] == whole.partition("]")[0], "white space of the template's own"


@pytest.mark.parametrize("name", THINKING)
def test_an_opened_reasoning_is_closed_before_the_answer(name):
    thought, end = THINKING[name]
    chat = ChatTemplate.from_tokenizer(tokenizer_of("byte level", opening(thought)))
    suffix = "<|im_end|>\n<|im_start|>assistant\n" + thought
    assert chat.texts.user_suffix == f"{suffix.rstrip()}\n\n{end}\n\n" and chat.closes_thinking
    written = chat.tokenizer.decode(chat.dialogue(SYSTEM, [("Hello", "Paris.")]))
    assert written.endswith(f"{end}\n\nParis.")


@pytest.mark.parametrize("thought", UNKNOWN_THINKING)
def test_a_reasoning_that_cannot_be_closed_is_refused(thought):
    with pytest.raises(ChatTemplateError, match="leaves the LLM thinking"):
        ChatTemplate.from_tokenizer(tokenizer_of("byte level", opening(thought)))


def test_a_template_that_closes_it_is_left_as_it_is():
    chat = ChatTemplate.from_tokenizer(tokenizer_of("byte level", SWITCH))
    assert chat.texts.user_suffix.count("</think>") == 1 and chat.closes_thinking
    plain = ChatTemplate.from_tokenizer(tokenizer_of("byte level", PLAIN["chatml"]))
    assert not plain.closes_thinking


@pytest.mark.parametrize("text", ["<think>\nOkay", "[THINK] well", "<|begin_of_thought|>x"])
def test_an_answer_that_is_a_reasoning_is_refused(text):
    chat = ChatTemplate.from_tokenizer(tokenizer_of("byte level", PLAIN["chatml"]))
    chat.tokenizer = types.SimpleNamespace(decode=lambda ids: text, name_or_path="x")
    with pytest.raises(ChatTemplateError, match="answers with its reasoning"):
        chat.check_answer([1])


def test_a_template_of_no_text_that_can_be_chosen_is_an_error():
    tokenizer = toy_tokenizer()
    tokenizer.chat_template = {"rag": PLAIN["chatml"], "tools": PLAIN["chatml"]}
    with pytest.raises(ChatTemplateError, match="fails on a plain dialogue"):
        ChatTemplate.from_tokenizer(tokenizer)


@pytest.mark.parametrize("template", [*(KINDS[kind][1] for kind in KINDS), *PLAIN.values(), SWITCH])
def test_a_server_that_renders_the_messages_reads_the_same(template, on):
    """But for earlier answers of a reasoning LLM, before which its template has no reasoning, and we an empty one."""
    on(2024, 7, 26)
    tokenizer = tokenizer_of("byte level", template)
    before = [] if template == SWITCH else [TURNS[0]]
    chat, asked = ChatTemplate.from_tokenizer(tokenizer), [*before, (f" {TURNS[1][0]}\n", None)]
    messages = chat.messages(SYSTEM, asked)
    options = {"tokenize": False, "add_generation_prompt": True}
    text = tokenizer.apply_chat_template(messages, **options, **chat.template_options)
    assert tokenizer(text, add_special_tokens=False)["input_ids"] == chat.dialogue(SYSTEM, asked)


@pytest.mark.parametrize("kind", KINDS)
def test_texts_tokenised_together_have_the_ids_of_each_alone(kind):
    tokenizer = toy_tokenizer(kind)
    chat, texts = ChatTemplate.from_tokenizer(tokenizer), ["The cow", "", "moo", " moo ", "\u725b", "'s", "moo"]
    assert chat.running_texts(texts) == [chat.running_text(text) for text in texts]
    for first in (True, False):
        assert chat.user_texts(texts, first) == [chat.user_text(text, first) for text in texts]
        before = chat.texts.after_system if first else chat.texts.between
        for text, ids in zip(("moo", "The cow"), chat.user_texts(["moo", "The cow"], first), strict=True):
            whole = tokenizer("." + before + text, add_special_tokens=False)["input_ids"]
            assert whole[-len(ids) :] == ids != []
