"""The copies of CelebA and LFW that people have, and what is said about the others."""

import pytest

from diface_jax.data.readers.dispatch import find_layout, read_data_set

FILES = [f'{i:06d}.jpg' for i in range(1, 5)]
PEOPLE, SPLITS = ['10', '10', '20', '30'], ['0', '0', '1', '2']
LABELS = ['1 -1', '-1 1', '1 1', '-1 -1']
NAMED_SPLITS = {'0': 'train', '1': 'val', '2': 'test'}


def lines(values, separator=' '):
    return ''.join(f'{f}{separator}{v}\n' for f, v in zip(FILES, values, strict=True))


def attributes(separator=' ', false='-1'):
    rows = [row.replace('-1', false).replace(' ', separator) for row in LABELS]
    return f'4\nBald{separator}Male\n{lines(rows, separator)}'


def csv(header, values):
    return f'{header}\n{lines([value.replace(" ", ",") for value in values], ",")}'


IDENTITY, PARTITION = lines(PEOPLE), lines(SPLITS)
LISTS = {
    'identity_CelebA.txt': IDENTITY,
    'list_eval_partition.txt': PARTITION,
    'list_attr_celeba.txt': attributes(),
}
CSV_LISTS = {
    'list_eval_partition.csv': csv('image_id,partition', SPLITS),
    'list_attr_celeba.csv': csv('image_id,Bald,Male', LABELS),
}


def changed(**other):
    return LISTS | {f'{name}.txt': text for name, text in other.items()}


# A copy: the folder of images, and the text of each list.
CELEBA = {
    'flat': ('img_align_celeba', LISTS),
    'official': (
        'Img/img_align_celeba',
        {
            'Anno/identity_CelebA.txt': IDENTITY,
            'Eval/list_eval_partition.txt': PARTITION,
            'Anno/list_attr_celeba.txt': attributes(),
        },
    ),
    'official, one level too high': (
        'CelebA/Img/img_align_celeba',
        {
            'CelebA/Anno/identity_CelebA.txt': IDENTITY,
            'CelebA/Eval/list_eval_partition.txt': PARTITION,
            'CelebA/Anno/list_attr_celeba.txt': attributes(),
        },
    ),
    'torchvision': (
        'celeba/img_align_celeba',
        {f'celeba/{name}': text for name, text in LISTS.items()},
    ),
    'kaggle with identities': (
        'img_align_celeba/img_align_celeba',
        CSV_LISTS | {'identity_CelebA.txt': IDENTITY},
    ),
    'identities as csv': (
        'img_align_celeba',
        CSV_LISTS | {'identity_CelebA.csv': csv('image_id,identity', PEOPLE)},
    ),
    'images nested twice': ('img_align_celeba/img_align_celeba', LISTS),
    'png': ('img_align_celeba_png', LISTS),
    'official png': ('Img/img_align_celeba_png', LISTS),
    'commas': (
        'img_align_celeba',
        {
            'identity_CelebA.txt': lines(PEOPLE, ','),
            'list_eval_partition.txt': lines(SPLITS, ', '),
            'list_attr_celeba.txt': attributes(','),
        },
    ),
    'tabs': (
        'img_align_celeba',
        {
            'identity_CelebA.txt': lines(PEOPLE, '\t'),
            'list_eval_partition.txt': lines(SPLITS, '\t'),
            'list_attr_celeba.txt': attributes('\t'),
        },
    ),
    'byte order marks': ('img_align_celeba', {n: f'\ufeff{text}' for n, text in LISTS.items()}),
    'utf-16': ('img_align_celeba', {n: text.encode('utf-16') for n, text in LISTS.items()}),
    'line ends of Windows': (
        'img_align_celeba',
        {name: text.replace('\n', '\r\n') for name, text in LISTS.items()},
    ),
    'empty lines': (
        'img_align_celeba',
        {name: text.replace('\n', '\n\n') for name, text in LISTS.items()},
    ),
    'labels 0 and 1': ('img_align_celeba', changed(list_attr_celeba=attributes(false='0'))),
    'splits by name': (
        'img_align_celeba',
        changed(list_eval_partition=lines([NAMED_SPLITS[split] for split in SPLITS])),
    ),
    'splits as Valid': (
        'img_align_celeba',
        changed(list_eval_partition=PARTITION.replace(' 1\n', ' Valid\n')),
    ),
    'names in upper case': (
        'IMG_ALIGN_CELEBA',
        {name.upper(): text for name, text in LISTS.items()},
    ),
}


def put_celeba(put, jpeg, images, lists):
    for file in FILES:
        put(f'{images}/{file.replace("jpg", "png") if images.endswith("png") else file}', jpeg)
    for name, text in lists.items():
        put(name, text)


@pytest.mark.parametrize('copy', CELEBA)
def test_a_copy_of_celeba_is_read_as_it_is(tmp_path, put, jpeg, copy):
    images, lists = CELEBA[copy]
    put_celeba(put, jpeg, images, lists)
    put('descriptions.jsonl', '{"file": "000003.jpg", "description": "Bald."}')

    source = read_data_set(tmp_path)

    assert source.name == 'celeba'
    assert source.problems == ()
    assert [p.identity for p in source.photos] == PEOPLE
    assert [p.split for p in source.photos] == ['train', 'train', 'validation', 'test']
    assert [list(p.labels.items()) for p in source.photos] == [
        [('Bald', bald), ('Male', male)]
        for bald, male in ((True, False), (False, True), (True, True), (False, False))
    ]
    assert [p.descriptions for p in source.photos] == [(), (), ('Bald.',), ()]
    assert {source.read(p.file) for p in source.photos} == {jpeg}


def test_kaggles_copy_says_that_identities_are_missing_and_where_they_are(tmp_path, put, jpeg):
    put_celeba(put, jpeg, 'img_align_celeba/img_align_celeba', CSV_LISTS)

    with pytest.raises(FileNotFoundError, match=r"Kaggle's copy, which has no identities: downl"):
        read_data_set(tmp_path)


LFW = {
    'lfw-deepfunneled': '',
    'lfw-deepfunneled/lfw-deepfunneled': '',
    'lfw/lfw': '',
    'lfw': '',
    'lfw_home/lfw_funneled': 'lfw_home/',
    'archive/lfw-deepfunneled/lfw-deepfunneled': 'archive/',
    'lfw/lfw-deepfunneled': 'lfw/',
}


@pytest.mark.parametrize(('images', 'labels'), LFW.items())
def test_a_copy_of_lfw_is_read_as_it_is(tmp_path, put, jpeg, images, labels):
    for person in ('Ann_A', 'Bob_B'):
        put(f'{images}/{person}/{person}_0001.jpg', jpeg)
    rows = 'Ann_A/Ann_A_0001.jpg,1\nBob_B/Bob_B_0001.jpg,-1\n'
    put(f'{labels}lfwa_40.csv', f'image,Male\n{rows}')

    source = read_data_set(tmp_path)

    assert source.name == 'lfw'
    assert source.problems == ()
    assert [(p.identity, p.labels) for p in source.photos] == [
        ('Ann_A', {'Male': True}),
        ('Bob_B', {'Male': False}),
    ]
    assert (source.landmarks_5x2 is not None) == images.endswith('lfw-deepfunneled')


SENTENCES = {
    'captions.csv': 'file,caption\nann/1.jpg,tall\n',
    'metadata.csv': 'file_name,text\nann/1.jpg,tall\n',
    'captions.jsonl': '{"file": "ann/1.jpg", "caption": "tall"}\n',
    'metadata.jsonl': '{"file_name": "ann/1.jpg", "text": "tall"}\n',
}
FORMS = {
    'as it is': lambda text: text,
    'with a byte order mark': lambda text: f'\ufeff{text}',
    'utf-16': lambda text: text.encode('utf-16'),
    'line ends of Windows': lambda text: text.replace('\n', '\r\n'),
    'a path of Windows': lambda text: text.replace(
        'ann/', 'ann' + '\\' * (1 + text.startswith('{'))
    ),
    'a dot before': lambda text: text.replace('ann/', './ann/'),
    'a key in another case': lambda text: text if '{' in text else text.replace('file', 'File'),
    'tabs': lambda text: text if '{' in text else text.replace(',', '\t'),
    'semicolons': lambda text: text if '{' in text else text.replace(',', ';'),
}


@pytest.mark.parametrize('form', FORMS)
@pytest.mark.parametrize('name', SENTENCES)
def test_a_file_of_captions_is_read_in_the_forms_that_people_have(tmp_path, put, jpeg, name, form):
    put('ann/1.jpg', jpeg)
    put(name, FORMS[form](SENTENCES[name]))

    source = read_data_set(tmp_path)

    assert source.problems == ()
    assert [p.descriptions for p in source.photos] == [('tall',)]


def test_folders_named_after_splits_hold_people(tmp_path, put, jpeg):
    for file in ('train/ann/1.jpg', 'val/bob/1.jpg', 'test/cy/1.jpg', 'test/cy/2.jpg'):
        put(file, jpeg)
    put('test/metadata.jsonl', '{"file_name": "cy/2.jpg", "text": "tall"}')

    photos = read_data_set(tmp_path).photos

    assert {(p.file, p.identity, p.split) for p in photos} == {
        ('train/ann/1.jpg', 'ann', 'train'),
        ('val/bob/1.jpg', 'bob', 'validation'),
        ('test/cy/1.jpg', 'cy', 'test'),
        ('test/cy/2.jpg', 'cy', 'test'),
    }
    assert [p.descriptions for p in photos if p.file == 'test/cy/2.jpg'] == [('tall',)]


# What lies below the root, and what the error has to say.
NOT_READABLE = {
    ('img_align_celeba/000001.jpg',): 'no identity_CelebA.txt',
    (*LISTS, 'Img/img_align_celeba.zip'): 'Img/img_align_celeba.zip looks like an archive: unpack',
    (*LISTS, 'img_align_celeba/x.txt'): 'holds no photo',
    (*LISTS, 'img_celeba/000001.jpg'): 'holds the uncropped photographs',
    (*LISTS, 'a/img_align_celeba/1.jpg', 'b/img_align_celeba/1.jpg'): '2 copies of img_align',
    ('identity_CelebA.txt', 'lfw/Ann/Ann_0001.jpg'): 'two data sets in .* CelebA .* and LFW',
    ('a/identity_CelebA.txt', 'b/lfw/Ann/Ann_0001.jpg'): 'two data sets in',
    ('lfwa_40.csv',): 'no lfw-deepfunneled/',
    ('lfwa_40.csv', 'lfw.tgz'): 'lfw.tgz looks like an archive: unpack it',
    ('000001.jpg', '000002.jpg'): "CelebA's folder of images: give the folder that holds",
    ('a.jpg', 'b.jpg'): '2 photos lie in .* move each into a folder of its person',
    ('photos.zip',): 'photos.zip looks like an archive',
    ('train.rec', 'train.idx'): 'RecordIO',
    ('CelebA-HQ-img/1.jpg.txt',): 'CelebA-HQ has neither splits',
    ('train-00000.parquet',): 'Parquet files',
    ('ann/notes.txt',): 'no photo in .* a folder per person',
    ('train/1.jpg', 'test/1.jpg'): 'no photo in .*test',
}


@pytest.mark.parametrize('files', NOT_READABLE)
def test_a_copy_that_cannot_be_read_is_named_with_what_to_do(tmp_path, put, jpeg, files):
    for file in files:
        put(file, LISTS.get(file, jpeg))

    with pytest.raises((OSError, ValueError), match=NOT_READABLE[files]):
        read_data_set(tmp_path)


def test_the_nearest_of_two_copies_is_read(tmp_path, put, jpeg):
    put_celeba(put, jpeg, 'img_align_celeba', LISTS)
    put_celeba(put, b'old', 'old/img_align_celeba', {f'old/{n}': t for n, t in LISTS.items()})

    source = read_data_set(tmp_path)

    assert {source.read(p.file) for p in source.photos} == {jpeg}


def test_people_with_many_photos_are_not_taken_for_a_data_set(tmp_path, put, jpeg):
    for person in range(40):
        put(f'{person}/1.jpg', jpeg)
    put('7/lfw/Ann/1.jpg', jpeg)

    assert find_layout(tmp_path) == 'folder'
