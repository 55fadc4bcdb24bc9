"""finetune: examples in, adapter out."""
