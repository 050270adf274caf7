"""The frozen LLM: model, cache, chat template, generation, and CTC units made of its tokens."""
