"""CTC units: the vocabulary of the CTC head; by default the LLM's own tokens, whose embeddings an adapter can send."""

from __future__ import annotations

import io
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from freeze_omni.config import ConfigError
from freeze_omni.data.tables import TableError, read_lines, write_lines
from freeze_omni.encoder.lexicon import Lexicon, WordCounts
from freeze_omni.encoder.search import SearchConfig, WordSearch
from freeze_omni.llm.chat import ChatTemplate
from freeze_omni.shapes import pad_rows

if TYPE_CHECKING:
    from freeze_omni.llm.engine import LlmEngine

BLANK, UNKNOWN = "<blank>", "<unk>"
LIST_FILE, JSON_FILE, BPE_FILE, TOKENIZER_FOLDER = "tokens.txt", "units.json", "bpe.model", "tokenizer"
SPACE = "<space>"
ALPHABET = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,?!'- "
INCOMPLETE = "\ufffd"  # what a decoder gives for half a character
Kind = Literal["llm", "char", "bpe", "word"]
LETTERS = "'abcdefghijklmnopqrstuvwxyz"
FORMS_FILE = "forms.tsv"
BPE_TEXTS = 1_000_000
_INSIDE = re.compile(r"(?<=[a-z',\d] )[A-Za-z']*[A-Za-z]", re.I)  # a word that another word comes before


class CtcUnits:
    """Text to unit ids and back. Id 0 is the blank, id 1 what cannot be written.

    tokens: the name of every unit. llm_ids (V,) long: its LLM token; -1 for blank, unknown and other kinds than llm.
    """

    def __init__(self, kind: Kind, speller: Speller) -> None:
        self.kind, self.speller = kind, speller
        self.tokens = [BLANK, UNKNOWN, *speller.names]
        self._ids = {name: number for number, name in enumerate(self.tokens)}
        self.llm_ids = torch.full((len(self.tokens),), -1, dtype=torch.long)
        if isinstance(speller, LlmSpeller):
            self.llm_ids[2:] = torch.tensor(speller.tokenizer.convert_tokens_to_ids(speller.names))

    @classmethod
    def from_llm(cls, texts: Iterable[str], tokenizer: Any, min_count: int = 3) -> CtcUnits:
        """The LLM's tokens that occur min_count times or more; rarer ones are spelled with these."""
        return cls("llm", LlmSpeller.from_texts(map(_tidy, texts), tokenizer, min_count))

    @classmethod
    def from_characters(cls, texts: Iterable[str]) -> CtcUnits:
        seen = set[str]()
        for text in map(_tidy, texts):
            seen.update(text)
        return cls("char", CharSpeller([SPACE, *sorted(seen - {" "})]))

    @classmethod
    def from_bpe(cls, texts: Iterable[str], size: int) -> CtcUnits:
        """At most `size` sentencepiece BPE pieces, of `BPE_TEXTS` of the texts at most, drawn at random."""
        return cls("bpe", BpeSpeller.from_texts(map(_tidy, texts), size))

    @classmethod
    def from_words(cls, counts: WordCounts, forms: Mapping[str, str] | None = None) -> CtcUnits:
        """Letters, from which a word search makes the words of a lexicon. forms: of `written_forms`."""
        return cls("word", WordSpeller([SPACE, *LETTERS], counts, forms))

    @classmethod
    def none(cls) -> CtcUnits:
        """For a model without CTC head: nothing can be written."""
        return cls("char", CharSpeller([]))

    def __len__(self) -> int:
        return len(self.tokens)

    def encode(self, text: str) -> list[int]:
        """Unit ids of a transcript; 1 for what the units cannot write."""
        return [self._ids.get(name, 1) for name in self.speller.spell(_tidy(text))]

    def decode(self, ids: Iterable[int]) -> str:
        """Text of unit ids (repeats joined) without blank, unknown and half a character at the end: it only grows. Of
        units of kind word, ids are those of words, and the first has a capital."""
        if isinstance(self.speller, WordSpeller):
            return capital(" ".join(self.speller.written[i] for i in ids))
        names = [self.tokens[i] for i in ids if i > 1]
        return self.speller.join(names) if names else ""

    @property
    def space(self) -> int:
        """The unit that ends a word. Raises ConfigError: units of a kind without."""
        if SPACE not in self._ids:
            raise ConfigError(f"units of kind '{self.kind}' have no space: make units of kind 'word' (stage 3)")
        return self._ids[SPACE]

    def search(self, config: SearchConfig) -> WordSearch | None:
        """From letters to words; None for other kinds than word."""
        if not isinstance(self.speller, WordSpeller):
            return None
        labels = [self._ids[letter] for letter in LETTERS]
        return WordSearch(config, self.speller.lexicon, labels, self.space, self._ids[BLANK])

    def word_numbers(self, text: str) -> list[int]:
        """Numbers of a transcript's words in the lexicon, as `decode` takes them; -1 for a word that is not in it."""
        if not isinstance(self.speller, WordSpeller):
            raise ConfigError(f"units of kind '{self.kind}' have no words: make units of kind 'word' (stage 3)")
        return [self.speller.numbers.get(word, -1) for word in spelled_words(text)]

    def word_ids(self, tokenizer: Any) -> Tensor | None:
        """The LLM's tokens (2, W, M) of each word in running text, and as the first of a turn; -1 after a word's. None
        for other kinds than word."""
        if not isinstance(self.speller, WordSpeller):
            return None
        chat, words = ChatTemplate.from_tokenizer(tokenizer), self.speller.written
        rows = chat.running_texts(words) + chat.user_texts(map(capital, words), first=True)
        ids = pad_rows([torch.tensor(row) for row in rows], -1)[0]
        return ids.reshape(2, len(words), -1)

    @torch.no_grad()
    def embeddings(self, llm: LlmEngine) -> Tensor:
        """(V, E): the LLM's embeddings, zeros for blank and unknown. Raises ConfigError: other units or tokenizer."""
        if self.kind != "llm":
            raise ConfigError(
                f"units of kind '{self.kind}' have no embedding in the LLM: make units of kind 'llm' (stage 3), or set "
                "the adapter's posterior: false"
            )
        self.check_tokenizer(llm.tokenizer, llm.source)
        return torch.nn.functional.pad(llm.embed(self.llm_ids[2:].to(llm.device)), (0, 0, 2, 0))

    def check_tokenizer(self, tokenizer: Any, source: str) -> None:
        """Raises ConfigError for units of kind llm that were made with another LLM's tokenizer; source: of this one."""
        if self.kind == "llm" and tokenizer.convert_ids_to_tokens(self.llm_ids[2:].tolist()) != self.tokens[2:]:
            raise ConfigError(
                f"these CTC units were made with another tokenizer than that of {source}: make them again (stage 3)"
            )

    def save(self, folder: str | Path) -> None:
        """Write tokens.txt (one unit a line), units.json and what else the kind needs."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.speller.save(folder)
        content = {"kind": self.kind, "tokens": self.tokens, "llm_ids": self.llm_ids.tolist()}
        text = json.dumps(content, ensure_ascii=False, indent=0)
        (folder / JSON_FILE).write_text(text + "\n", encoding="utf-8")
        lines = (token.replace("\n", "\\n") + "\n" for token in self.tokens)
        (folder / LIST_FILE).write_text("".join(lines), encoding="utf-8")

    @classmethod
    def load(cls, folder: str | Path) -> CtcUnits:
        """Read what `save` wrote. Raises ConfigError if the folder has no units."""
        path = Path(folder) / JSON_FILE
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            kind, tokens = content["kind"], content["tokens"]
        except FileNotFoundError:
            raise ConfigError(f"{path}: no such file; give the folder that stage 3 wrote") from None
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{path}: no description of CTC units ({error}); run stage 3 again") from None
        spellers: dict[str, type[Speller]] = {
            "llm": LlmSpeller,
            "char": CharSpeller,
            "bpe": BpeSpeller,
            "word": WordSpeller,
        }
        if kind not in spellers:
            raise ConfigError(f"{path}: unknown unit kind '{kind}', expected {', '.join(spellers)}")
        units = cls(kind, spellers[kind].load(path.parent, tokens[2:]))
        if units.tokens != tokens:
            raise ConfigError(f"{path}: its tokens are not those of {path.parent / BPE_FILE}")
        return units


def _tidy(text: str) -> str:
    return " ".join(text.split())


class Speller(Protocol):
    """Text to unit names and back, by LLM tokens, characters or sentencepiece; `names` are its units."""

    names: list[str]

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> Speller: ...

    def spell(self, text: str) -> list[str]: ...

    def join(self, names: list[str]) -> str: ...

    def save(self, folder: Path) -> None: ...


class LlmSpeller:
    """Tokens as the LLM's tokenizer makes them inside running text: a name is one unit wherever it stands.

    A token that is no unit is cut into the longest units from left to right, at last into characters (or bytes, if the
    LLM's tokenizer works on these).
    """

    def __init__(self, tokenizer: Any, names: list[str]) -> None:
        self.tokenizer, self.names = tokenizer, names
        self._chat = ChatTemplate.from_tokenizer(tokenizer)
        self._known = set(names)
        self._longest = max(map(len, names), default=0)

    @classmethod
    def from_texts(cls, texts: Iterable[str], tokenizer: Any, min_count: int) -> LlmSpeller:
        """Units: tokens seen min_count times or more, and the single characters of all seen."""
        chat, counts = ChatTemplate.from_tokenizer(tokenizer), Counter[int]()
        for text in texts:
            counts.update(chat.running_text(text))
        seen = dict(zip(counts, tokenizer.convert_ids_to_tokens(list(counts)), strict=True))
        letters = {i for letter in ALPHABET for i in tokenizer.encode(letter, add_special_tokens=False)}
        alphabet = tokenizer.convert_ids_to_tokens(sorted(letters))
        special = set(tokenizer.all_special_ids)
        by_count = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        often = [seen[token] for token, count in by_count if count >= min_count and token not in special]
        characters = {character for name in [*seen.values(), *alphabet] for character in name}
        return cls(tokenizer, often + sorted(characters & set(tokenizer.get_vocab()) - set(often)))

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> LlmSpeller:
        from transformers import AutoTokenizer

        return cls(AutoTokenizer.from_pretrained(folder / TOKENIZER_FOLDER), names)

    def save(self, folder: Path) -> None:
        self.tokenizer.save_pretrained(folder / TOKENIZER_FOLDER)

    def spell(self, text: str) -> list[str]:
        tokens = self.tokenizer.convert_ids_to_tokens(self._chat.running_text(text))
        return [name for token in tokens for name in self._cut(token)]

    def _cut(self, token: str) -> list[str]:
        if token in self._known:
            return [token]
        names, start = [], 0
        while start < len(token):
            ends = range(min(start + self._longest, len(token)), start, -1)
            name = next((token[start:end] for end in ends if token[start:end] in self._known), token[start])
            names.append(name)
            start += len(name)
        return names

    def join(self, names: list[str]) -> str:
        ids = self.tokenizer.convert_tokens_to_ids(names)
        return self.tokenizer.decode(ids, clean_up_tokenization_spaces=False).rstrip(INCOMPLETE).strip()


class CharSpeller:
    """Characters; the space is written `<space>`."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> CharSpeller:
        return cls(names)

    def spell(self, text: str) -> list[str]:
        return [SPACE if character == " " else character for character in text]

    def join(self, names: list[str]) -> str:
        return "".join(" " if name == SPACE else name for name in names).strip()

    def save(self, folder: Path) -> None:
        """Nothing but the list of units."""


class WordSpeller:
    """Letters of words in lower case, with a space after each word: it tells that the last one is over.

    forms: how a word is written inside a sentence, if not in lower case, as names are. written: all words so.
    """

    def __init__(self, names: list[str], counts: WordCounts, forms: Mapping[str, str] | None = None) -> None:
        self.names, self.counts, self.forms = names, counts, dict(forms or {})
        self.lexicon = Lexicon(counts, LETTERS)
        self.numbers = {word: number for number, word in enumerate(self.lexicon.words)}
        self.written = [self.forms.get(word, word) for word in self.lexicon.words]

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> WordSpeller:
        """Raises TableError for a broken table."""
        path = folder / FORMS_FILE
        forms = (
            dict(_form(line, path, number) for number, line in enumerate(read_lines(path), 1)) if path.exists() else {}
        )
        return cls(names, WordCounts.load(folder), forms)

    def save(self, folder: Path) -> None:
        self.counts.save(folder)
        write_lines(folder / FORMS_FILE, (f"{word}\t{form}" for word, form in self.forms.items()))

    def spell(self, text: str) -> list[str]:
        return [SPACE if letter == " " else letter for word in spelled_words(text) for letter in word + " "]

    def join(self, names: list[str]) -> str:
        return "".join(" " if name == SPACE else name for name in names).strip()


def _form(line: str, path: Path, number: int) -> tuple[str, str]:
    word, tab, form = line.partition("\t")
    if not tab or not word or word != form.lower():
        raise TableError(f"{path}, line {number}: expected a word and how it is written, with a tab between")
    return word, form


def written_forms(texts: Iterable[str]) -> dict[str, str]:
    """Of words that are mostly written otherwise than in lower case inside sentences: how."""
    counts: dict[str, Counter[str]] = {}
    for text in texts:
        for word in _INSIDE.findall(text.replace("\u2019", "'")):
            counts.setdefault(word.lower(), Counter())[word] += 1
    usual = {word: max(found, key=lambda form: (found[form], form)) for word, found in counts.items()}
    return {word: form for word, form in sorted(usual.items()) if form != word}


def capital(text: str) -> str:
    """A sentence with a capital at its beginning."""
    return text[:1].upper() + text[1:]


def spelled_words(text: str) -> list[str]:
    """The words of a text as units of kind word write them."""
    return "".join(one if one in LETTERS else " " for one in text.lower().replace("\u2019", "'")).split()


class BpeSpeller:
    """Pieces of a sentencepiece model (the extra `train` installs sentencepiece)."""

    def __init__(self, model: bytes) -> None:
        self.model = model
        self._processor = _sentencepiece().SentencePieceProcessor(model_proto=model)
        kept = range(self._processor.get_piece_size())
        self.names = [self._processor.id_to_piece(i) for i in kept if not self._processor.is_unknown(i)]

    @classmethod
    def from_texts(cls, texts: Iterable[str], size: int) -> BpeSpeller:
        model = io.BytesIO()
        how = {"model_type": "bpe", "vocab_size": size, "hard_vocab_limit": False, "character_coverage": 1.0}
        how |= {
            "input_sentence_size": BPE_TEXTS,
            "shuffle_input_sentence": True,
            "bos_id": -1,
            "eos_id": -1,
            "minloglevel": 2,
        }
        _sentencepiece().SentencePieceTrainer.train(sentence_iterator=iter(texts), model_writer=model, **how)
        return cls(model.getvalue())

    @classmethod
    def load(cls, folder: Path, names: list[str]) -> BpeSpeller:
        return cls((folder / BPE_FILE).read_bytes())

    def save(self, folder: Path) -> None:
        (folder / BPE_FILE).write_bytes(self.model)

    def spell(self, text: str) -> list[str]:
        return self._processor.encode(text, out_type=str)

    def join(self, names: list[str]) -> str:
        return self._processor.decode(names).strip()


def _sentencepiece() -> Any:
    try:
        import sentencepiece
    except ImportError:
        raise ImportError("CTC units of kind bpe need sentencepiece: pip install 'freeze-omni[train]'") from None
    return sentencepiece
