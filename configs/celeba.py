"""DiFace on CelebA with dlib's face encoder and MiniLM: the main configuration.

Sized for two CPU cores and 11,414 training photos; README.md gives its results and running times.
Change any setting on the command line by --config.section.name=value. All values are checked before
a run starts (`diface_jax/runtime/settings.py`).
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    config.data = ml_collections.ConfigDict()
    config.data.root = ''  # folder of the data set
    config.data.layout = 'auto'  # or celeba, celeb_a_tfds, lfw, folder, simulated
    # Shares of identities for train, validation and test, if the data set has no split of its own.
    config.data.shares = (0.8, 0.1, 0.1)
    config.data.split_seed = 0
    # A list of photos and their splits, instead: a CSV file, or celeba or lfw, the lists that ship.
    config.data.split_file = ''

    # A second data set, of other people, whose training photos are added; empty: none.
    config.second_data = ml_collections.ConfigDict()
    config.second_data.root = ''
    config.second_data.layout = 'auto'
    config.second_data.shares = (0.7, 0.1, 0.2)
    config.second_data.split_seed = 0
    config.second_data.split_file = ''

    # Layout `simulated`: how many people to draw from the population, and photos of each.
    config.simulated = {'people': 1500, 'photos': 3, 'seed': 0}

    config.encoders = ml_collections.ConfigDict()
    # E: face encoders whose embeddings are put side by side. `dlib`; `appearance`, the principal
    # components of dlib's inner feature maps; `onnx:FILE`, any recogniser of the ArcFace family.
    config.encoders.face = ('dlib', 'appearance')
    config.encoders.appearance_dim = 256  # components; 0: leave `appearance` out
    # What an ONNX file does not tell: the order of channels, rgb or bgr, and (pixel - mean) / scale
    # of red, green and blue. With 0 for `scale`, or for `side` in pixels, these are read from it.
    config.encoders.onnx = {'channels': 'rgb', 'side': 0}
    config.encoders.onnx.update(mean=(0.0, 0.0, 0.0), scale=(0.0, 0.0, 0.0))
    config.encoders.text = ''  # a folder or hub name; empty: MiniLM, which comes along
    # 'several': read the text encoder at three depths, which keeps single words apart; or 'last'.
    config.encoders.text_layers = 'several'
    # Adapters of it that --mode=tune_text trained on faces: their file; empty: it stays frozen.
    config.encoders.text_adapters = ''
    # The licence of encoders that you accept, where it is unknown or limits their use.
    config.encoders.accept_licence = ''

    # Degraded copies of each training photo (small, blurred, dark, noisy, compressed), so that a
    # poor photo can be searched with, beside a text or alone; at most 12. 0: none.
    config.degraded = {'per_photo': 0, 'seed': 0}

    config.captions = ml_collections.ConfigDict()
    config.captions.seed = 0
    # Sentences per training photo: `full` may mention every attribute, `partial` a random share.
    config.captions.full = 3
    config.captions.partial = 2
    # Phrases drawn from each free-hand sentence about a training photo, for queries of few words.
    config.captions.phrases = 3
    # Validation and test photos have a sentence for each of these shares of mentioned attributes,
    # each share a track of its own. Model selection uses the first track and the human sentences.
    config.captions.coverage = (1.0, 0.5, 0.25)

    config.model = ml_collections.ConfigDict()
    config.model.score = {'width': 256, 'depth': 3, 'dropout': 0.3, 'prediction': 'x0'}
    config.model.refine = {'feature_dim': 384, 'width': 256, 'dropout': 0.5}
    config.model.refine_photos = True  # R on both sides; False: R of the text against x0

    config.diffusion = ml_collections.ConfigDict()
    config.diffusion.schedule = 'cosine'  # or linear
    config.diffusion.num_levels = 1000  # T; 0: continuous time
    config.diffusion.snr_clip = (1.0, 5.0)  # loss weight of a noise level: its SNR, clipped
    config.diffusion.drop_text = 0.1  # share of rows without text, for guidance

    config.contrast = ml_collections.ConfigDict()
    config.contrast.num_steps = 1  # DDIM steps to recover x0 in the refinement loss
    config.contrast.temperature = 0.07  # initial value; it is learned
    # Weight of the described photo; another photo of the person has 1. More favours the protocol
    # same, less favours cross.
    config.contrast.same_photo_weight = 2.0
    config.contrast.embedding_noise = 0.5  # added to photos, in standard deviations of x0

    # A margin head in addition to the contrastive loss: none, cosface or arcface.
    config.margin = {'kind': 'none', 'margin': 0.2, 'scale': 16.0, 'weight': 0.1}
    config.loss_weight = {'denoise': 1.0, 'refine': 1.0}
    config.optimiser = {'score': _adamw(), 'refine': _adamw()}

    config.train = ml_collections.ConfigDict()
    config.train.batch_size = 512
    config.train.num_steps = 2000
    config.train.steps_per_dispatch = 10
    config.train.eval_every = 200
    config.train.patience = 1000  # steps without better validation before training stops
    config.train.ema_decay = 0.995
    # A model pack whose D, R, normalisation and encoders training starts from, to fine-tune it;
    # give it to `prepare` too. Empty: start anew.
    config.train.init_from = ''
    # Of matrix products in training: float32, or bfloat16 where it is faster. Parameters, losses,
    # normalisations, validation and evaluation stay in float32.
    config.train.compute_dtype = 'float32'
    # Keep all training rows in device memory, sharded; False: transfer the rows of each step.
    config.train.data_on_device = True
    # Probability that a photo with human sentences is described by one of them.
    config.train.human_share = 0.5
    # Probability that it is a phrase of one of them instead.
    config.train.phrase_share = 0.3
    # With degraded copies of photos: shares of rows with a text alone, a photo alone, and both.
    config.train.probe_shares = (0.5, 0.2, 0.3)

    # --mode=tune_text: trains adapters (LoRA) of the text encoder's last `layers`, with plain
    # towers and against frozen face embeddings.
    config.tune_text = {
        'layers': 3,
        'rank': 32,
        'num_steps': 600,
        'batch_size': 128,
        'learning_rate': 1e-3,
        'human_share': 0.75,
        'eval_every': 100,
    }

    # model: number of devices over which hidden units are sharded (tensor parallelism); fsdp: shard
    # the training state over the other devices too. Neither changes the results.
    config.mesh = {'model': 1, 'fsdp': False}

    # T~ steps and K samples per text, chosen on validation.
    config.sample = {'num_steps': 1, 'num_samples': 4, 'guidance': 1.0, 'eta': 0.0}

    config.evaluate = ml_collections.ConfigDict()
    config.evaluate.data = ml_collections.ConfigDict()
    config.evaluate.data.root = ''  # another data set to test on; empty: the one trained on
    config.evaluate.data.layout = 'auto'
    # With a share for validation, thresholds come from these people, otherwise from the validation
    # people of the first data set. The second data set (`second_data`) keeps its split of training.
    config.evaluate.data.shares = (0.0, 0.0, 1.0)
    config.evaluate.data.split_seed = 0
    config.evaluate.data.split_file = ''
    config.evaluate.seed = 0
    config.evaluate.draws = 10  # of pairs and galleries
    config.evaluate.resamples = 1000  # of the bootstrap over identities
    config.evaluate.galleries = (100, 1000, 0)  # people per gallery; 0: all
    config.evaluate.literal_num_steps = 25  # T~ of the paper's method: one sample, no R
    # A folder with a CLIP (ViT layout; FLIP and FaRL are such) to compare with; empty: none.
    config.evaluate.clip = ''
    config.evaluate.two_tower = {
        'width': 256,
        'feature_dim': 128,
        'dropout': 0.5,
        'embedding_noise': 0.5,
        'temperature': 0.07,
        'same_photo_weight': 2.0,
        'learning_rate': 1e-3,
        'weight_decay': 0.01,
        'num_steps': 2000,
        'eval_every': 100,
    }
    config.evaluate.path_num_steps = 25  # T~ of the path on which clusters are measured
    config.evaluate.photos_per_attribute = 48  # to measure the effect of omitting it
    config.evaluate.num_failure_cases = 6  # listed in the report, of each kind
    config.evaluate.num_examples = 6  # example searches in the report, per track and protocol

    # Grid of --mode=sweep, measured on validation texts.
    config.sweep = ml_collections.ConfigDict()
    config.sweep.num_texts = 512
    config.sweep.num_steps = (1, 2, 5, 10, 25, 50, 100, 250)
    config.sweep.num_samples = (1, 4, 16)
    config.sweep.guidance = (1.0, 2.0)
    config.sweep.eta = (0.0, 1.0)

    config.ablate = ml_collections.ConfigDict()
    config.ablate.num_steps = 1500  # of the training run of each row
    # The autoencoder that replaces E in one row; `width`: channels of its first convolution.
    config.ablate.vae = {
        'latent_dim': 128,
        'width': 16,
        'beta': 0.05,
        'num_steps': 2500,
        'batch_size': 64,
        'learning_rate': 2e-3,
        'seed': 0,
    }
    return config


def _adamw() -> dict:
    return {
        'name': 'adamw',
        'learning_rate': 1e-3,
        'warmup_steps': 100,
        'clip_norm': 1.0,
        'options': {'weight_decay': 0.01},
    }
