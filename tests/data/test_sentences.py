import pytest

from diface_jax.data.sentences import read_sentences


@pytest.mark.parametrize('key', ['description', 'caption'])
def test_json_lines(tmp_path, put, key):
    put(
        'd.jsonl',
        f'{{"file": "a.jpg", "{key}": " An older man. "}}\n\n{{"file": "a.jpg", "{key}": "É"}}',
    )

    sentences, problems = read_sentences(tmp_path / 'd.jsonl', {'a.jpg', 'b.jpg'})

    assert sentences == {'a.jpg': ('An older man.', 'É')}
    assert problems == []


def test_csv_may_quote_and_begin_with_a_byte_order_mark(tmp_path, put):
    put('c.csv', '\ufefffile,caption\na.jpg,"bald, ""tall"""\nb.jpg,thin\n')

    sentences, problems = read_sentences(tmp_path / 'c.csv', {'a.jpg', 'b.jpg'})

    assert sentences == {'a.jpg': ('bald, "tall"',), 'b.jpg': ('thin',)}
    assert problems == []


BAD_JSON = {
    '{"file": "a.jpg", "caption": ': 'not a JSON object',
    '["a.jpg", "bald"]': 'not a JSON object',
    '{"file": "a.jpg"}': 'must both be text',
    '{"file": 7, "caption": "bald"}': 'must both be text',
    '{"file": "a.jpg", "caption": "  "}': 'nothing is said of a.jpg',
}


@pytest.mark.parametrize(('line', 'why'), BAD_JSON.items())
def test_a_bad_json_line_is_a_problem_with_its_number(tmp_path, put, line, why):
    put('c.jsonl', f'{{"file": "a.jpg", "caption": "thin"}}\n{line}\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert sentences == {'a.jpg': ('thin',)}
    assert problem.file == 'c.jsonl'
    assert problem.why.startswith('line 2: ')
    assert why in problem.why


def test_bytes_that_are_not_utf8_are_a_problem(tmp_path, put):
    put('c.jsonl', b'{"file": "a.jpg", "caption": "caf\xe9"}')

    sentences, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert sentences == {}
    assert problem.why == 'line 1: not UTF-8'


@pytest.mark.parametrize('row', ['a.jpg', 'a.jpg,'])
def test_a_csv_row_without_a_caption_is_a_problem(tmp_path, put, row):
    put('c.csv', f'file,caption\n{row}\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg'})

    assert sentences == {}
    assert problem.file == 'c.csv'
    assert problem.why.startswith('line 2: ')


def test_a_sentence_about_no_photo_is_that_photos_problem(tmp_path, put):
    put('c.csv', 'file,caption\nz.jpg,bald\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg'})

    assert sentences == {}
    assert problem.file == 'z.jpg'
    assert 'c.csv line 2' in problem.why


def test_where_any_photo_will_do_none_is_a_problem(tmp_path, put):
    put('c.csv', 'file,caption\nz.jpg,bald\n')

    assert read_sentences(tmp_path / 'c.csv') == ({'z.jpg': ('bald',)}, [])


def test_a_csv_without_the_columns_is_refused(tmp_path, put):
    put('c.csv', 'a.jpg,bald\n')

    with pytest.raises(ValueError, match='columns file,caption'):
        read_sentences(tmp_path / 'c.csv', {'a.jpg'})


def test_no_file_is_no_sentence(tmp_path):
    assert read_sentences(tmp_path / 'c.jsonl', {'a.jpg'}) == ({}, [])
