"""Made golden_minilm.json, once, with PyTorch's BertModel. Run by hand where PyTorch is:

pip install torch transformers safetensors numpy
python tests/encoders/make_golden_minilm.py FOLDER_OF_ALL_MINILM_L6_V2
"""

import json
import pathlib
import sys

import torch
import transformers

MAX_TOKENS = 256
SENTENCES = [
    'Bald.',
    'A young woman with long, wavy blond hair is smiling.',
    'He has a goatee and bushy eyebrows, and he wears no glasses.',
    'It was an older man, grey at the temples, clean-shaven, with bags under his eyes.',
    'Her café-au-lait skin, naïve smile and high cheekbones: très élégante — 東京, 2019 😀.',
    '  THE SUSPECT:  male;   5 o\'clock shadow,\tdouble chin...  "pointy" nose?!  ',
    'She wears a hat and heavy make-up, and I would say that she is in her thirties. Her face is '
    'oval, her nose is rather big, and her lips are full, with lipstick of a dark red. What I '
    'could see of her hair under the brim was black and straight, cut to a fringe, and there were '
    'earrings, small ones, and a necklace with a green stone.',
    'The face was long and pale, with a thin moustache and sideburns that met the collar. ' * 20,
]


def main(folder: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.BertModel.from_pretrained(folder, attn_implementation='eager').eval()
    vectors = []
    for sentence in SENTENCES:
        batch = tokenizer(sentence, truncation=True, max_length=MAX_TOKENS, return_tensors='pt')
        print(batch['input_ids'].shape[1], 'tokens:', sentence[:60])
        with torch.no_grad():
            mean = model(**batch).last_hidden_state.mean(dim=1)
        unit = torch.nn.functional.normalize(mean, dim=-1)[0]
        vectors.append([round(x, 7) for x in unit.tolist()])
    rows = [{'sentence': s, 'vector': v} for s, v in zip(SENTENCES, vectors, strict=True)]
    path = pathlib.Path(__file__).with_name('golden_minilm.json')
    path.write_text('[\n' + ',\n'.join(json.dumps(row) for row in rows) + '\n]\n')


if __name__ == '__main__':
    main(sys.argv[1])
