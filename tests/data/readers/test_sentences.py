import pytest

from diface_jax.data.readers.sentences import read_sentences


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
    '{"file": "a.jpg", "caption": "  "}': 'no sentence about a.jpg',
}


@pytest.mark.parametrize(('line', 'why'), BAD_JSON.items())
def test_a_bad_json_line_is_a_problem_with_its_number(tmp_path, put, line, why):
    put('c.jsonl', f'{{"file": "a.jpg", "caption": "thin"}}\n{line}\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert sentences == {'a.jpg': ('thin',)}
    assert problem.file == 'c.jsonl'
    assert problem.reason.startswith('line 2: ')
    assert why in problem.reason


def test_bytes_that_are_not_utf8_are_a_problem(tmp_path, put):
    put('c.jsonl', b'{"file": "a.jpg", "caption": "caf\xe9"}')

    sentences, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert sentences == {}
    assert problem.reason == 'line 1: not UTF-8'


@pytest.mark.parametrize('row', ['a.jpg', 'a.jpg,'])
def test_a_csv_row_without_a_caption_is_a_problem(tmp_path, put, row):
    put('c.csv', f'file,caption\n{row}\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg'})

    assert sentences == {}
    assert problem.file == 'c.csv'
    assert problem.reason.startswith('line 2: ')


def test_a_sentence_about_no_photo_is_that_photos_problem(tmp_path, put):
    put('c.csv', 'file,caption\nz.jpg,bald\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg'})

    assert sentences == {}
    assert problem.file == 'z.jpg'
    assert 'c.csv line 2' in problem.reason


def test_where_any_photo_will_do_none_is_a_problem(tmp_path, put):
    put('c.csv', 'file,caption\nz.jpg,bald\n')

    assert read_sentences(tmp_path / 'c.csv') == ({'z.jpg': ('bald',)}, [])


def test_a_csv_without_the_columns_is_refused(tmp_path, put):
    put('c.csv', 'a.jpg,bald\n')

    with pytest.raises(ValueError, match='columns file,caption'):
        read_sentences(tmp_path / 'c.csv', {'a.jpg'})


def test_no_file_is_no_sentence(tmp_path):
    assert read_sentences(tmp_path / 'c.jsonl', {'a.jpg'}) == ({}, [])


UNQUOTED = {
    'a.jpg,a bald man, tall': 'a bald man, tall',
    'a.jpg,a bald man,tall,,thin': 'a bald man,tall,,thin',
    'a.jpg,"a bald man, tall"': 'a bald man, tall',
    'a.jpg,"a bald man", tall': 'a bald man, tall',
    'a.jpg,"a bald man\nwho is tall"': 'a bald man who is tall',
}


@pytest.mark.parametrize(('row', 'sentence'), UNQUOTED.items())
def test_a_caption_with_a_comma_is_whole(tmp_path, put, row, sentence):
    put('c.csv', f'file,caption\n{row}\nb.jpg,thin\n')

    sentences, problems = read_sentences(tmp_path / 'c.csv', {'a.jpg', 'b.jpg'})

    assert sentences == {'a.jpg': (sentence,), 'b.jpg': ('thin',)}
    assert problems == []


def test_a_comma_too_many_before_the_last_column_is_a_problem(tmp_path, put):
    put('c.csv', 'caption,file\na bald man, tall,a.jpg\nthin,a.jpg\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg'})

    assert sentences == {'a.jpg': ('thin',)}
    assert problem.reason.startswith(
        'line 2: 3 fields under a header of 2: put a sentence with comm'
    )


def test_a_comma_in_a_table_of_tabs_belongs_to_the_sentence(tmp_path, put):
    put('c.csv', 'file\tcaption\na.jpg\ta bald man, tall\n')

    assert read_sentences(tmp_path / 'c.csv', {'a.jpg'}) == ({'a.jpg': ('a bald man, tall',)}, [])


@pytest.mark.parametrize('rest', ['', '\nb.jpg,thin\n', '\nb.jpg,"thin"\n'])
def test_a_quote_that_is_never_closed_is_a_problem_and_no_sentence(tmp_path, put, rest):
    put('c.csv', f'file,caption\na.jpg,fair\na.jpg,"a bald man{rest}')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg', 'b.jpg'})

    assert sentences == {'a.jpg': ('fair',)}
    assert problem.reason.startswith('line 3: cannot be read')
    assert 'check its quotes' in problem.reason


def test_a_line_as_long_as_a_book_is_a_problem(tmp_path, put):
    put('c.csv', f'file,caption\na.jpg,{"x" * 200_000}\nb.jpg,thin\n')

    sentences, (problem,) = read_sentences(tmp_path / 'c.csv', {'a.jpg', 'b.jpg'})

    assert sentences == {'b.jpg': ('thin',)}
    assert 'line 2: cannot be read' in problem.reason


@pytest.mark.parametrize('line', ['[' * 100_000, '1' * 5_000, 'NaN', '{"file": "a.jpg"'])
def test_json_that_python_cannot_hold_is_a_problem(tmp_path, put, line):
    put('c.jsonl', line)

    sentences, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert sentences == {}
    assert problem.reason.startswith('line 1: not a JSON object')


def test_half_a_letter_in_json_is_not_utf8(tmp_path, put):
    put('c.jsonl', '{"file": "a.jpg", "caption": "\\ud83d"}')

    _, (problem,) = read_sentences(tmp_path / 'c.jsonl', {'a.jpg'})

    assert problem.reason == 'line 1: not UTF-8'
