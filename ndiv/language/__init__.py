"""Pretrained language models from local files, run by ndiv itself: GPT-2, LLaMA and BERT architectures, frozen.

`load` reads a folder in the layout of the Hugging Face hub (config.json, model.safetensors, tokenizer.json) or a GGUF file, and
returns a `Backbone`. Nothing is downloaded, and nothing that a file holds is executed.
"""

from .backbone import Backbone
from .loading import load

__all__ = ["Backbone", "load"]
