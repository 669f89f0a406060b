"""Problems that are asked before and after training, in prompts and by rules of published code."""
