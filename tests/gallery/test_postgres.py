"""A gallery on a PostgreSQL server: the verbs and the answers of a gallery in a folder."""

import pytest

from diface_jax.gallery.store import Store
from tests.gallery import world

pytest.importorskip('psycopg')


@pytest.fixture
def model():
    return world.model()


def test_try(model, database, tmp_path):
    world.folder_of(tmp_path / 'photos')
    print(model.enroll(database, tmp_path / 'photos', people=True))
    print(model.count(database))
    r = model.search(database, 'person 3', k=4)
    print([(x.entry, x.scored.score) for x in r.results])
    print(model.identify(database, 'person 3', k=4, where={'person': 'person-*'}).to_json()['gallery'])
    print(model.choices(database))
    print(model.refresh(database, 'hnsw', 'half'))
    r = model.search(database, 'person 3', k=4)
    print([(x.entry.id, x.scored.score) for x in r.results])
    with Store(database) as store:
        print(store.remove({'person': 'person-2'}), store.forget())
    print(model.enroll(database, tmp_path / 'photos', people=True))
