"""memory_calc: how much memory a training run takes."""
