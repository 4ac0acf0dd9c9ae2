"""Sweep: accuracy and time of each sampling setting on validation, and the setting to choose.

The paper trades time for accuracy by T~; the sweep measures it for K, guidance and eta too.
"""

import itertools
import pathlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import ml_collections
import numpy as np
from absl import logging

from diface_jax.data.prepared import Prepared
from diface_jax.evaluation import protocols, verification
from diface_jax.models.diface import Sampling
from diface_jax.models.features import FeatureExtractor, Features, scatter_rows
from diface_jax.runtime import hosts, run_state
from diface_jax.runtime import mesh as meshes
from diface_jax.runtime.settings import SweepSettings
from diface_jax.training.loaded_model import LoadedModel

SweepRow = dict[str, Any]
# Small, so that the first batch, which compiles, costs little compared with the rest.
_BATCH = 128


def sweep(
    config: ml_collections.ConfigDict,
    trained: LoadedModel,
    train_data: Prepared,
    out: pathlib.Path,
    overwrite: bool = False,
) -> None:
    """Measures every sampling of `config.sweep` on validation texts; resumes an unfinished sweep.

    Args:
      config: all settings, of which `sweep`, `captions` and `evaluate` are used.
      trained: the checkpoint.
      train_data: the data set it was trained on.
      out: the file to write, after every row.
      overwrite: whether to replace a file with other settings, once all rows are measured.

    Raises:
      SettingsDifferError: `out` is of another model or has other settings.
    """
    settings = run_state.to_plain_json(
        {
            'sweep': config.sweep.to_dict(),
            'evaluate': {name: config.evaluate[name] for name in ('resamples', 'seed')},
            'training': trained.settings,
            'step': trained.step,
        }
    )
    progress, sweep_so_far = run_state.partial_output(
        out, settings, ('training.sample',), overwrite
    )
    if sweep_so_far.get('complete'):
        logging.info('sweep: %s exists already: %s', out, sweep_so_far['why'])
        return
    rows = sweep_so_far.get('rows', [])
    grid = list(sampling_grid(config.sweep))
    bench = _Bench(config, trained, train_data)
    header = {'settings': settings, 'split': 'validation', 'texts': bench.size}
    for sampling in hosts.progress(
        grid[len(rows) :], initial=len(rows), total=len(grid), desc='sweep'
    ):
        rows.append(vars(sampling) | bench.measure(sampling))
        run_state.write_json(progress, header | {'complete': False, 'rows': rows})
    chosen, why = choose_sampling(rows)
    content = header | {'complete': True, 'rows': rows, 'chosen': chosen, 'why': why}
    run_state.write_json(progress, content)
    run_state.move_into_place(progress, out)
    logging.info('sweep: %s', why)


def sampling_grid(grid: SweepSettings) -> Iterator[Sampling]:
    """Every setting of a grid, cheapest first; eta has no effect with a single step."""
    combinations = itertools.product(grid.num_steps, grid.num_samples, grid.guidance, grid.eta)
    for T, K, guidance, eta in sorted(combinations, key=lambda setting: setting[0] * setting[1]):
        if T > 1 or eta == grid.eta[0]:
            yield Sampling(T, K, guidance, eta)


def choose_sampling(rows: Sequence[SweepRow]) -> tuple[SweepRow, str]:
    """The cheapest setting within one standard error of the best, and the reason in words.

    The one-standard-error rule (Breiman et al. 1984, section 3.4.3): a difference that the data
    cannot show is not worth its time.
    """
    best = max(rows, key=lambda row: row['auc'])
    error = (best['ci95'][1] - best['ci95'][0]) / (2 * 1.96)
    near = [row for row in rows if row['auc'] >= best['auc'] - error]
    chosen = min(near, key=lambda row: row['ms_per_text'])
    why = (
        f'T~ = {chosen["num_steps"]} with K = {chosen["num_samples"]}, guidance '
        f'{chosen["guidance"]:g} and eta {chosen["eta"]:g}: AUC {100 * chosen["auc"]:.1f}% at '
        f'{chosen["ms_per_text"]:.3g} ms a text, the cheapest setting within one standard error '
        f'({100 * error:.1f}) of the best, {100 * best["auc"]:.1f}% at T~ = {best["num_steps"]}, '
        f'K = {best["num_samples"]}, guidance {best["guidance"]:g}, eta {best["eta"]:g} '
        f'({best["ms_per_text"]:.3g} ms).'
    )
    return {name: chosen[name] for name in vars(Sampling(1))}, why


class _Bench:
    """The validation texts, pairs and photos that every setting is measured on."""

    def __init__(
        self, config: ml_collections.ConfigDict, trained: LoadedModel, train_data: Prepared
    ) -> None:
        self._trained, self._split = trained, train_data.splits['validation']
        self._seed = config.evaluate.seed
        self._repetitions = protocols.Repetitions(4, config.evaluate.resamples, self._seed)
        track, texts = next(iter(self._split.tracks(config.captions.coverage).items()))
        drawn = np.random.default_rng(self._seed).permutation(texts)[: config.sweep.num_texts]
        self._texts, self.size = np.sort(drawn), len(drawn)
        self._x0_NxD = trained.normalise(self._split.embedding_NxD)
        self._draws = {
            condition: protocols.draw_pair_sets(
                self._split, self._texts, condition, None, self._repetitions
            )
            for condition in protocols.conditions([track], has_gender=False)
        }

    def measure(self, sampling: Sampling) -> SweepRow:
        """AUC and accuracy by protocol, their means, and the time from condition to feature."""
        mesh = meshes.make_mesh()
        extractor = FeatureExtractor(self._trained.model, sampling, mesh, batch_size=_BATCH)
        params, key = self._trained.params, jax.random.key(self._seed)
        c_TxC = self._split.c_TxC[self._texts]
        extractor.of_texts(params, c_TxC[:1], key)  # compiles
        start = time.perf_counter()
        f_text = extractor.of_texts(params, c_TxC, key)
        seconds = time.perf_counter() - start
        f_photo = extractor.of_photos(params, self._x0_NxD)
        f_text = scatter_rows(f_text, self._texts, len(self._split.c_TxC))
        return self._accuracy(Features(f_text, f_photo)) | {
            'ms_per_text': 1000 * seconds / self.size
        }

    def _accuracy(self, features: Features) -> SweepRow:
        """Metrics of both protocols, and their means.

        `ci95` is the mean of both intervals, which is wider than the interval of the mean.
        """
        thresholds = {
            c.name: protocols.choose_threshold(features, d) for c, d in self._draws.items()
        }
        rows = protocols.verification_rows(
            {'diface': features},
            {'diface': thresholds},
            self._split,
            self._draws,
            self._repetitions,
        )
        by_metric = {(row['metric'], row['protocol']): row for row in rows}
        auc = [by_metric['auc', protocol] for protocol in verification.PROTOCOLS]
        by_protocol = {
            f'{metric}_{protocol}': by_metric[metric, protocol]['value']
            for metric in ('auc', 'accuracy')
            for protocol in verification.PROTOCOLS
        }
        return {
            'auc': float(np.mean([row['value'] for row in auc])),
            'ci95': np.mean([row['ci95'] for row in auc], axis=0).tolist(),
            'accuracy': 0.5 * (by_protocol['accuracy_cross'] + by_protocol['accuracy_same']),
            **by_protocol,
        }
