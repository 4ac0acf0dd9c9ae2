"""Requests to the server, as the page makes them."""

LOCAL = 'http://127.0.0.1:8080'


def drop(page, data, name='a.png', person='', **options):
    return page.post(
        '/api/photos', params={'name': name, 'person': person}, content=data, **options
    )


def search(page, text, **options):
    return page.post('/api/search', json={'texts': [text], **options})
