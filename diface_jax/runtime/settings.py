"""The settings of a run as typed sections, checked once, where a command starts.

`Settings.from_config` reads a config and raises a ValueError, with the full path of the key, for a
key that is unknown or missing, and for a value of the wrong type or out of range. Fields are named
as the keys of `configs/celeba.py`, which says what each of them does.
"""

import dataclasses
import inspect
from collections.abc import Iterator
from typing import Annotated, Any, Self

import ml_collections

from diface_jax.runtime import schema
from diface_jax.runtime.schema import Rule, at_least, between, one_of

_INT32 = Rule(lambda value: value < 2**31, 'below 2^31')
_EVEN = Rule(lambda value: value % 2 == 0, 'even', 'it holds as many sines of the time as cosines')

Count = Annotated[int, at_least(0), _INT32]
Positive = Annotated[int, at_least(1), _INT32]
Seed = Annotated[int, between(0, 2**32 - 1)]
Width = Annotated[int, between(1, 65_536)]
Share = Annotated[float, between(0, 1)]
BelowOne = Annotated[float, Rule(lambda value: 0 <= value < 1, 'at least 0 and below 1')]
Weight = Annotated[float, between(0, 1000)]
Noise = Annotated[float, between(0, 100)]
Rate = Annotated[float, between(0, 100)]
Temperature = Annotated[float, between(0.001, 100)]
SamplerSteps = Annotated[int, between(1, 100_000)]
Samples = Annotated[int, between(1, 10_000)]
Guidance = Annotated[float, between(0, 100)]
PixelMean = Annotated[float, between(-1000, 1000)]
PixelScale = Annotated[float, between(0, 1000)]
LAYOUTS = ('auto', 'celeba', 'celeb_a_tfds', 'lfw', 'folder', 'simulated')
Layout = Annotated[str, one_of(*LAYOUTS)]
# What `encoders.face` may list; the last is followed by a path.
DLIB, APPEARANCE, ONNX = 'dlib', 'appearance', 'onnx:'
SamePhotoWeight = Annotated[
    float, between(0.001, 1000, 'with 0 a person with a single photo has no correct match')
]


class Section:
    """A section of the settings; like a section of a config, it becomes a dict or arguments.

    `Sampling(**settings.sample)` works with both.
    """

    def to_dict(self) -> dict[str, Any]:
        """Values by key; sections in it become dicts too."""
        return dataclasses.asdict(self)

    def keys(self) -> Iterator[str]:
        """The keys, for `**section`."""
        return (field.name for field in dataclasses.fields(self))

    def __getitem__(self, key: str) -> Any:
        """The value of a key, for `**section`."""
        return getattr(self, key)


def check_shares(shares: tuple[float, float, float]) -> None:
    """Makes sure that shares of train, validation and test are shares.

    Raises:
      ValueError: they are not three, not positive or don't add up to one.
    """
    if len(shares) != 3 or min(shares) < 0 or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(
            f'shares={tuple(shares)}: expected three for train, validation, test, none '
            f'negative, that '
            'add up to 1, as (0.8, 0.1, 0.1), or (0, 0, 1) to evaluate only'
        )


@dataclasses.dataclass(frozen=True)
class DataSettings(Section):
    """A data set to read: the first one, the second one (`second_data`), or another to test on."""

    root: str
    layout: Layout
    shares: tuple[Share, Share, Share]
    split_seed: Seed
    split_file: str

    def __post_init__(self) -> None:
        check_shares(self.shares)


@dataclasses.dataclass(frozen=True)
class SimulatedSettings(Section):
    """People to draw from a population."""

    people: Annotated[int, between(1, 10_000_000)]
    photos: Annotated[int, between(1, 10_000)]
    seed: Seed


@dataclasses.dataclass(frozen=True)
class OnnxSettings(Section):
    """The images that recognisers in ONNX files take."""

    channels: Annotated[str, one_of('rgb', 'bgr')]
    mean: tuple[PixelMean, PixelMean, PixelMean]
    scale: tuple[PixelScale, PixelScale, PixelScale]
    side: Annotated[int, between(0, 1000)]

    def __post_init__(self) -> None:
        if any(self.scale) and not all(self.scale):
            raise ValueError(f'scale must be above 0 for all channels, or for none: {self.scale}')


@dataclasses.dataclass(frozen=True)
class EncodersSettings(Section):
    """The frozen encoders."""

    face: tuple[str, ...]
    appearance_dim: Annotated[int, between(0, 65_536)]
    onnx: OnnxSettings
    text: str
    text_layers: Annotated[str, one_of('last', 'several')]
    text_adapters: str
    accept_licence: str

    def __post_init__(self) -> None:
        for name in self.face:
            if name not in (DLIB, APPEARANCE) and (name == ONNX or not name.startswith(ONNX)):
                raise ValueError(
                    f'face: there is no face encoder {name!r}: choose from {DLIB}, {APPEARANCE} '
                    f'and {ONNX}FILE'
                )
        if len(set(self.face)) < len(self.face):
            raise ValueError(f'face names an encoder twice: {self.face}')
        if set(self.face) == {APPEARANCE} and not self.appearance_dim:
            raise ValueError(f'face is {APPEARANCE} alone, and appearance_dim=0 leaves it out')


@dataclasses.dataclass(frozen=True)
class DegradedSettings(Section):
    """Degraded copies of photos, which teach a model to search with a poor photo."""

    per_photo: Annotated[int, between(0, 12)]
    seed: Seed


@dataclasses.dataclass(frozen=True)
class CaptionsSettings(Section):
    """Sentences a photo."""

    seed: Seed
    full: Annotated[int, between(0, 1000)]
    partial: Annotated[int, between(0, 1000)]
    phrases: Annotated[int, between(0, 1000)]
    coverage: tuple[Share, ...]


@dataclasses.dataclass(frozen=True)
class ScoreSettings(Section):
    """The score network D."""

    width: Annotated[Width, _EVEN]
    depth: Annotated[int, between(0, 1000)]
    dropout: BelowOne
    prediction: Annotated[str, one_of('x0', 'eps', 'v')]


@dataclasses.dataclass(frozen=True)
class RefineSettings(Section):
    """The refinement network R."""

    feature_dim: Width
    width: Width
    dropout: BelowOne


@dataclasses.dataclass(frozen=True)
class ModelSettings(Section):
    """D and R."""

    score: ScoreSettings
    refine: RefineSettings
    refine_photos: bool


@dataclasses.dataclass(frozen=True)
class DiffusionSettings(Section):
    """The noise of training."""

    schedule: Annotated[str, one_of('cosine', 'linear')]
    num_levels: Count
    snr_clip: tuple[Annotated[float, between(0, 1e6)], Annotated[float, between(1e-6, 1e6)]]
    drop_text: Share

    def __post_init__(self) -> None:
        if self.snr_clip[0] > self.snr_clip[1]:
            raise ValueError(f'snr_clip must be (low, high), not {self.snr_clip}')


@dataclasses.dataclass(frozen=True)
class ContrastSettings(Section):
    """The refinement loss."""

    num_steps: SamplerSteps
    temperature: Temperature
    same_photo_weight: SamePhotoWeight
    embedding_noise: Noise


@dataclasses.dataclass(frozen=True)
class MarginSettings(Section):
    """The margin head."""

    kind: Annotated[str, one_of('none', 'cosface', 'arcface')]
    margin: Annotated[float, between(0, 2)]
    scale: Annotated[float, between(0.001, 1000)]
    weight: Weight


@dataclasses.dataclass(frozen=True)
class LossWeightSettings(Section):
    """Weights of the two losses."""

    denoise: Weight
    refine: Weight

    def __post_init__(self) -> None:
        if self.denoise == self.refine == 0:
            raise ValueError('denoise and refine are both 0: nothing would be trained')


@dataclasses.dataclass(frozen=True)
class OptimiserSettings(Section):
    """An optimiser of optax by its name, with `options` for its function."""

    name: str
    learning_rate: Rate
    warmup_steps: Count
    clip_norm: Annotated[float, between(1e-6, 1e6)]
    options: dict[str, Any]

    def __post_init__(self) -> None:
        import optax  # slow to import, and most modes build no optimiser

        make = getattr(optax, self.name, None)
        known = dict(inspect.signature(make).parameters) if inspect.isfunction(make) else {}
        if next(iter(known), None) != 'learning_rate':
            raise ValueError(f'name: optax has no optimiser {self.name!r}; try adamw, lion or sgd')
        del known['learning_rate']
        for key, value in self.options.items():
            if key not in known:
                raise ValueError(schema.unknown_key('options', key, known))
            _check_option(key, value, known[key].default)


@dataclasses.dataclass(frozen=True)
class OptimisersSettings(Section):
    """Of D, and of R."""

    score: OptimiserSettings
    refine: OptimiserSettings


@dataclasses.dataclass(frozen=True)
class TrainSettings(Section):
    """The training loop."""

    batch_size: Positive
    num_steps: Positive
    steps_per_dispatch: Positive
    eval_every: Positive
    patience: Positive
    ema_decay: BelowOne
    init_from: str
    compute_dtype: Annotated[str, one_of('float32', 'bfloat16')]
    data_on_device: bool
    human_share: Share
    phrase_share: Share
    probe_shares: tuple[Share, Share, Share]

    def __post_init__(self) -> None:
        if abs(sum(self.probe_shares) - 1) > 1e-6:
            raise ValueError(
                f'probe_shares={self.probe_shares}: expected three that add up to 1, for a text '
                'alone, a photo alone, and both'
            )


@dataclasses.dataclass(frozen=True)
class TuneTextSettings(Section):
    """The training of adapters of the text encoder."""

    layers: Annotated[int, between(1, 1000)]
    rank: Annotated[int, between(1, 1000)]
    num_steps: Positive
    batch_size: Positive
    learning_rate: Rate
    human_share: Share
    eval_every: Positive

    def __post_init__(self) -> None:
        if self.eval_every > self.num_steps:
            raise ValueError(
                f'eval_every must be at most num_steps={self.num_steps}, not {self.eval_every}: '
                'otherwise no adapters are ever validated'
            )


@dataclasses.dataclass(frozen=True)
class MeshSettings(Section):
    """How the devices share the work."""

    model: Positive
    fsdp: bool


@dataclasses.dataclass(frozen=True)
class SampleSettings(Section):
    """How a text becomes an embedding."""

    num_steps: SamplerSteps
    num_samples: Samples
    guidance: Guidance
    eta: Share


@dataclasses.dataclass(frozen=True)
class TwoTowerSettings(Section):
    """The baseline of two MLP towers."""

    width: Width
    feature_dim: Width
    dropout: BelowOne
    embedding_noise: Noise
    temperature: Temperature
    same_photo_weight: SamePhotoWeight
    learning_rate: Rate
    weight_decay: Weight
    num_steps: Positive
    eval_every: Positive

    def __post_init__(self) -> None:
        if self.eval_every > self.num_steps:
            raise ValueError(
                f'eval_every must be at most num_steps={self.num_steps}, not {self.eval_every}: '
                'otherwise the baseline is never validated and stays untrained'
            )


@dataclasses.dataclass(frozen=True)
class EvaluateSettings(Section):
    """The evaluation; `data` is another data set to test on."""

    data: DataSettings
    seed: Seed
    draws: Annotated[int, between(1, 10_000)]
    resamples: Annotated[int, between(1, 1_000_000)]
    galleries: tuple[Count, ...]
    literal_num_steps: SamplerSteps
    clip: str
    two_tower: TwoTowerSettings
    path_num_steps: SamplerSteps
    photos_per_attribute: Count
    num_failure_cases: Count
    num_examples: Count


@dataclasses.dataclass(frozen=True)
class SweepSettings(Section):
    """The grid of samplings."""

    num_texts: Positive
    num_steps: tuple[SamplerSteps, ...]
    num_samples: tuple[Samples, ...]
    guidance: tuple[Guidance, ...]
    eta: tuple[Share, ...]


@dataclasses.dataclass(frozen=True)
class VaeSettings(Section):
    """The autoencoder of the ablation table."""

    latent_dim: Width
    width: Width
    beta: Weight
    num_steps: Positive
    batch_size: Positive
    learning_rate: Rate
    seed: Seed


@dataclasses.dataclass(frozen=True)
class AblateSettings(Section):
    """The ablation table."""

    num_steps: Positive
    vae: VaeSettings


@dataclasses.dataclass(frozen=True)
class Settings(Section):
    """All settings of a run."""

    seed: Seed
    data: DataSettings
    second_data: DataSettings
    simulated: SimulatedSettings
    encoders: EncodersSettings
    degraded: DegradedSettings
    captions: CaptionsSettings
    model: ModelSettings
    diffusion: DiffusionSettings
    contrast: ContrastSettings
    margin: MarginSettings
    loss_weight: LossWeightSettings
    optimiser: OptimisersSettings
    train: TrainSettings
    tune_text: TuneTextSettings
    mesh: MeshSettings
    sample: SampleSettings
    evaluate: EvaluateSettings
    sweep: SweepSettings
    ablate: AblateSettings

    @classmethod
    def from_config(cls, config: ml_collections.ConfigDict) -> Self:
        """The settings of a config.

        Raises:
          ValueError: a key is unknown or missing, or a value cannot be used; names the key.
        """
        return schema.build_section(cls, config.to_dict(), 'config')


def _check_option(key: str, value: Any, default: Any) -> None:
    """An option of optax: a flag, a type's name, or a number, none of which is ever negative."""
    if value == default or (key.endswith('dtype') and isinstance(value, str)):
        return
    path = f'options.{key}'
    kind = bool if isinstance(default, bool) else Annotated[float, between(0, 1e6)]
    schema.value_of(kind, value, path)
