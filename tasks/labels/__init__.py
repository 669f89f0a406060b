"""Classification: texts with a label, asked of held-out texts."""
