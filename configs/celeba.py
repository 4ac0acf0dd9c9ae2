"""DiFace on CelebA with dlib's face encoder and MiniLM: the main job.

Sized for two CPU cores and 11,414 training photos; see README.md for what it reached, and how long
it took. Any setting can be changed on the command line: --config.section.name=value.
"""

import ml_collections


def get_config() -> ml_collections.ConfigDict:
    """All settings."""
    config = ml_collections.ConfigDict()
    config.seed = 0

    config.data = ml_collections.ConfigDict()
    config.data.root = ''  # the data set's folder
    config.data.layout = 'auto'  # or celeba, celeb_a_tfds, lfw, folder, simulated
    # Of identities, for train, validation and test, where the data set brings no split.
    config.data.shares = (0.8, 0.1, 0.1)
    config.data.split_seed = 0

    # A second data set, of other people, whose training photos join the first one's; empty: none.
    config.also = ml_collections.ConfigDict()
    config.also.root = ''
    config.also.layout = 'auto'
    config.also.shares = (0.7, 0.1, 0.2)
    config.also.split_seed = 0

    # Drawn where the data set is a population (layout simulated): people, and photos of each.
    config.simulated = {'people': 1500, 'photos': 3, 'seed': 0}

    config.encoders = ml_collections.ConfigDict()
    config.encoders.text = ''  # MiniLM's folder or hub name; empty: the installed package
    # Read the text encoder at several depths, where words are told apart; False: its end alone.
    config.encoders.words = True
    # Components of what dlib's network saw on its way, beside its embedding; 0 leaves them out.
    config.encoders.appearance = 256

    config.captions = ml_collections.ConfigDict()
    config.captions.seed = 0
    # Sentences a training photo: `whole` ones may say everything, `partial` ones a random share.
    config.captions.whole = 3
    config.captions.partial = 2
    # Shares said, a sentence each, of a validation or test photo: a track each. Choices go by the
    # first, and by the free-hand sentences.
    config.captions.said = (1.0, 0.5, 0.25)

    config.model = ml_collections.ConfigDict()
    config.model.score = {'width': 256, 'depth': 3, 'dropout': 0.3, 'prediction': 'x0'}
    config.model.refine = {'feature_dim': 384, 'width': 256, 'dropout': 0.5}
    config.model.refine_photos = True  # R on both sides; False matches R of the text with x0 itself

    config.diffusion = ml_collections.ConfigDict()
    config.diffusion.schedule = 'cosine'  # or linear
    config.diffusion.num_levels = 1000  # T; 0 is continuous time
    config.diffusion.snr_clip = (1.0, 5.0)  # weight of a noise level: its SNR, cut to this range
    config.diffusion.drop_text = 0.1

    config.contrast = ml_collections.ConfigDict()
    config.contrast.num_steps = 1  # DDIM steps by which the refinement loss recovers x0
    config.contrast.temperature = 0.07  # at the start; it is learned
    # Of the described photo; another of the person counts 1. More is for same, less for cross.
    config.contrast.own_weight = 2.0
    config.contrast.embedding_noise = 0.5  # on photos, in standard deviations of x0

    # A margin head beside the contrast: none, cosface or arcface.
    config.margin = {'kind': 'none', 'margin': 0.2, 'scale': 16.0, 'weight': 0.1}
    config.loss_weight = {'denoise': 1.0, 'refine': 1.0}
    config.optimiser = {'score': _adamw(), 'refine': _adamw()}

    config.train = ml_collections.ConfigDict()
    config.train.batch_size = 512
    config.train.num_steps = 2000
    config.train.steps_per_dispatch = 10
    config.train.eval_every = 200
    config.train.patience = 1000  # steps without a better validation before stopping
    config.train.ema_decay = 0.995
    # Of the training step's matrix products: float32, or bfloat16 where it is faster. Parameters,
    # losses, normalisations and all that is not training stay float32.
    config.train.compute_dtype = 'float32'
    # Keep the training rows in device memory, cut over the devices; False sends each step's rows.
    config.train.resident = True
    # How often a photo that has free-hand sentences is described by one of them.
    config.train.human_share = 0.5

    # How many neighbouring devices share the hidden units, and whether the state is cut over all
    # others too (FSDP; parameters are made whole for each step). Neither changes what is computed.
    config.mesh = {'model': 1, 'fsdp': False}

    # T~ steps and K samples a text, as chosen on validation.
    config.sample = {'num_steps': 1, 'num_samples': 4, 'guidance': 1.0, 'eta': 0.0}

    config.evaluate = ml_collections.ConfigDict()
    config.evaluate.root = ''  # another data set to test on; empty: the one trained on
    config.evaluate.layout = 'auto'
    # Thresholds are from its own validation people where this gives it some, else from those of
    # the one trained on. The second data set is split as it was for training, whatever is here.
    config.evaluate.shares = (0.0, 0.0, 1.0)
    config.evaluate.split_seed = 0
    config.evaluate.seed = 0
    config.evaluate.draws = 10  # of pairs and galleries
    config.evaluate.resamples = 1000  # of the bootstrap over identities
    config.evaluate.galleries = (100, 1000, 0)  # people; 0 is all
    config.evaluate.literal_steps = 25  # T~ of the literal method: one sample, no R
    config.evaluate.towers = {
        'width': 256,
        'feature_dim': 128,
        'dropout': 0.5,
        'embedding_noise': 0.5,
        'temperature': 0.07,
        'own_weight': 2.0,
        'learning_rate': 1e-3,
        'weight_decay': 0.01,
        'num_steps': 2000,
        'eval_every': 100,
    }
    config.evaluate.path_steps = 25  # T~ of the path along which clusters are measured
    config.evaluate.photos_an_attribute = 48  # to measure what leaving it unsaid costs
    config.evaluate.mistakes = 6  # shown, of each kind
    config.evaluate.panels = 6  # searches shown, of each track and protocol

    # The grid of --mode=sweep, on validation texts.
    config.sweep = ml_collections.ConfigDict()
    config.sweep.texts = 512
    config.sweep.num_steps = (1, 2, 5, 10, 25, 50, 100, 250)
    config.sweep.num_samples = (1, 4, 16)
    config.sweep.guidance = (1.0, 2.0)
    config.sweep.eta = (0.0, 1.0)

    config.ablate = ml_collections.ConfigDict()
    config.ablate.num_steps = 1500  # of every row's training
    # The autoencoder that stands in for E in one row; width is of its first convolution.
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
