"""Writes golden_networks.safetensors: tiny random networks, and what PyTorch computes with them.

Run by hand where PyTorch is:

pip install torch transformers safetensors numpy
python tests/encoders/make_golden_networks.py

Each network has tensors NAME/weights/..., float16, under the names of its PyTorch class; tokens and
mask as NAME/tokens and NAME/mask, images as NAME/pixels; and results in float32. The configs are in
the file's metadata. Hidden states are those of the input, half way and at the last layer.
"""

import json
import pathlib

import numpy as np
import safetensors.numpy
import torch
import transformers

VOCABULARY, LENGTH = 24, 14
SIZES = {'num_hidden_layers': 2, 'num_attention_heads': 2, 'intermediate_size': 12}
BERT = {
    **SIZES,
    'vocab_size': VOCABULARY,
    'hidden_size': 8,
    'max_position_embeddings': LENGTH + 4,
    'pad_token_id': 1,
}
T5 = {
    'vocab_size': VOCABULARY,
    'd_model': 8,
    'd_kv': 3,
    'd_ff': 12,
    'num_layers': 2,
    'num_heads': 2,
    'relative_attention_num_buckets': 8,
    'relative_attention_max_distance': 16,
}
CLIP_TEXT = {
    **SIZES,
    'vocab_size': VOCABULARY,
    'hidden_size': 8,
    'max_position_embeddings': LENGTH,
    'bos_token_id': 0,
    'eos_token_id': VOCABULARY - 1,
}
# Towers of one CLIP have the same activation; here each tests another one.
CLIP_IMAGE = {
    **SIZES,
    'hidden_size': 12,
    'image_size': 16,
    'patch_size': 8,
    'hidden_act': 'gelu',
}

NETWORKS = {
    'bert': (transformers.BertConfig(**BERT), transformers.BertModel),
    'xlm-roberta': (
        transformers.XLMRobertaConfig(**BERT, type_vocab_size=1),
        transformers.XLMRobertaModel,
    ),
    'mpnet': (
        transformers.MPNetConfig(**BERT),
        transformers.MPNetModel,
    ),
    't5': (transformers.T5Config(**T5, feed_forward_proj='relu'), transformers.T5EncoderModel),
    't5-gated': (
        transformers.T5Config(**T5, feed_forward_proj='gated-gelu'),
        transformers.T5EncoderModel,
    ),
    'clip': (
        transformers.CLIPConfig(text_config=CLIP_TEXT, vision_config=CLIP_IMAGE, projection_dim=6),
        transformers.CLIPModel,
    ),
}


def randomise(model: torch.nn.Module, generator: torch.Generator) -> dict[str, np.ndarray]:
    """Weights of a trained model's size that float16 holds exactly."""
    for name, parameter in model.named_parameters():
        scale = parameter.shape[-1] ** -0.5 if parameter.dim() > 1 else 0.3
        centre = 1.0 if 'norm' in name.lower() and name.endswith('weight') else 0.0
        value = centre + scale * torch.randn(parameter.shape, generator=generator)
        parameter.data = value.half().float()
    return {name: tensor.numpy() for name, tensor in model.state_dict().items()}


def sentences(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of three lengths, and where they are; each sentence ends with the largest number."""
    lengths = torch.tensor([[LENGTH], [7], [2]])
    tokens = torch.randint(3, VOCABULARY - 1, (3, LENGTH), generator=generator)
    at = torch.arange(LENGTH)
    tokens = torch.where(at == lengths - 1, VOCABULARY - 1, tokens)
    return torch.where(at < lengths, tokens, 1), at < lengths


def depths(model: torch.nn.Module, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states of the input, half way and of the last layer."""
    out = model(input_ids=tokens, attention_mask=mask.long(), output_hidden_states=True)
    first, half, _ = out.hidden_states
    return torch.stack([first, half, out.last_hidden_state])


def results_of(name: str, model: torch.nn.Module, generator: torch.Generator) -> dict:
    tokens, mask = sentences(generator)
    results = {'tokens': tokens.int(), 'mask': mask}
    if name != 'clip':
        return results | {'hidden': depths(model, tokens, mask)}
    pixels = torch.randn((2, 3, 16, 16), generator=generator).half().float()
    text = model.text_model(input_ids=tokens, attention_mask=mask.long()).pooler_output
    image = model.vision_model(pixel_values=pixels).pooler_output
    return results | {
        'hidden': depths(model.text_model, tokens, mask),
        'text': model.text_projection(text),
        'pixels': pixels.half(),
        'image': model.visual_projection(image),
    }


@torch.no_grad()
def main() -> None:
    tensors, configs = {}, {}
    for number, (name, (config, make)) in enumerate(NETWORKS.items()):
        generator = torch.Generator().manual_seed(number)
        config._attn_implementation = 'eager'
        model = make(config).eval()
        weights = randomise(model, generator)
        for key, value in weights.items():
            kept = value if value.dtype == np.int64 else value.astype(np.float16)
            tensors[f'{name}/weights/{key}'] = kept
        for key, value in results_of(name, model, generator).items():
            tensors[f'{name}/{key}'] = value.numpy()
        configs[name] = json.dumps(config.to_diff_dict() | {'model_type': config.model_type})
    path = pathlib.Path(__file__).with_name('golden_networks.safetensors')
    tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
    safetensors.numpy.save_file(tensors, path, metadata=configs)


if __name__ == '__main__':
    main()
