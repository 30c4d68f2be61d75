"""Programs and plans: the tape as text, its passes, planned memory, and what runs it."""
