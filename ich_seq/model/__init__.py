"""A trained pipeline as it is shipped: a folder with model.json, weights.safetensors and a model card."""
