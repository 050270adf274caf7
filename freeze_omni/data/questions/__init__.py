"""Questions with known answers from fact tables, and which of them may be trained on."""
