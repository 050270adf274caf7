"""Stage 4 and the dialogue recipes: questions -> the LLM's answers -> speech -> labelled scenes."""
