"""Results beyond this program: PEFT's suite, lm-eval's sample files, and answers scored anew."""
