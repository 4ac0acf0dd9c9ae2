"""A synthetic `evaluation.json`: all sections, with random numbers."""

import numpy as np

METHODS = ('diface', 'literal', 'towers', 'cca', 'ridge', 'oracle', 'gender')
ATTRIBUTES = ('Black_Hair', 'Eyeglasses', 'Male', 'Smiling', 'Young')
VERIFICATION = ('accuracy', 'auc', 'eer', 'tar@far=0.1', 'tar@far=0.01', 'tar@far=0.001')
RANKS = tuple(f'rank@{k}' for k in (1, 5, 10, 20, 50, 100))
SEARCH = (*RANKS, 'rank_percentile_mean', 'rank_percentile_median', 'penetration@0.9')
OPEN_SET = tuple(f'dir@fpir={rate},rank={k}' for k in (1, 10) for rate in ('0.01', '0.1'))
KINDS = (('one', 'identity'), ('all', 'identity'), ('all', 'image'))


def around(rng, value, sd=True):
    """A value of a row with its spread."""
    value = float(np.clip(value + 0.05 * rng.standard_normal(), 0.01, 0.99))
    spread = {'value': value, 'ci95': [value - 0.9 * min(value, 0.02), min(1, value + 0.021)]}
    return spread | ({'sd': float(rng.uniform(0.001, 0.01))} if sd else {})


def rows(rng, methods, tracks, galleries=(100, 550), impostors=('random', 'same_gender')):
    """The `results`."""
    records = []
    for track in tracks:
        for protocol in ('cross', 'same'):
            header = {'track': track, 'protocol': protocol}
            nowhere = dict.fromkeys(('gallery', 'photos', 'level'))
            for kind in impostors:
                for method in methods:
                    for metric in VERIFICATION:
                        what = {'method': method, 'impostors': kind, 'metric': metric}
                        records.append({**header, **what, **nowhere, **around(rng, 0.7)})
            for gallery in galleries:
                for photos, level in KINDS:
                    where = {'gallery': gallery, 'photos': photos, 'level': level}
                    for method in methods:
                        for metric in SEARCH + OPEN_SET:
                            what = {'method': method, 'impostors': 'random', 'metric': metric}
                            records.append({**header, **what, **where, **around(rng, 0.3)})
    return records


def differences(rng, methods, tracks, gallery=550):
    """The `differences`: leads of the first method over the others."""
    nowhere = dict.fromkeys(('gallery', 'photos', 'level'))
    there = {'gallery': gallery, 'photos': 'one', 'level': 'identity'}
    numbers = [('random', 'accuracy', nowhere), ('random', 'auc', nowhere)]
    numbers += [('same_gender', 'auc', nowhere), ('random', 'rank@10', there)]
    records = []
    for track in tracks:
        for protocol in ('cross', 'same'):
            for method in methods[1:]:
                for kind, metric, where in numbers:
                    header = {'method': method, 'track': track, 'protocol': protocol}
                    lead = float(0.03 * rng.standard_normal())
                    spread = {'value': lead, 'sd': 0.004, 'ci95': [lead - 0.02, lead + 0.021]}
                    records.append(
                        {**header, 'impostors': kind, 'metric': metric, **where, **spread}
                    )
    return records


def band(values):
    return [[max(0.0, v - 0.03), min(1.0, v + 0.03)] for v in values]


def curves(rng, methods, conditions):
    """The `curves`, for some (track, protocol, impostors)."""
    records = []
    far = np.geomspace(0.001, 1, 31)
    k = np.arange(1, 101)
    for track, protocol, impostors in conditions:
        for i, method in enumerate(methods):
            header = {'method': method, 'track': track, 'protocol': protocol}
            tar = (far ** (0.2 + 0.1 * i + 0.02 * rng.random())).tolist()
            line = {'far': far.tolist(), 'tar': tar, 'ci95': band(tar)}
            records.append({'kind': 'roc', **header, 'impostors': impostors, **line})
            if impostors == 'random':
                rate = np.minimum(1, (k / 550) ** (0.4 + 0.08 * i)).tolist()
                where = {'gallery': 550, 'photos': 'one', 'level': 'identity'}
                line = {'k': k.tolist(), 'rate': rate, 'ci95': band(rate)}
                records.append({'kind': 'cmc', **header, **where, **line})
    return records


def face(rng, person, **more):
    return {'file': f'{person:06d}.jpg', 'person': person, 'score': float(rng.random()), **more}


def example(rng, track, rank):
    """A search; with a rank above ten the mate is not among the best."""
    best = [face(rng, int(rng.integers(100)), mate=place == rank) for place in range(1, 11)]
    return {
        'track': track,
        'protocol': 'cross',
        'text': 'A woman with black hair who smiles, and wears no glasses.',
        'described': '000007.jpg',
        'person': 7,
        'gallery': 550,
        'rank': rank,
        'mate': {'file': '000008.jpg', 'score': float(rng.random())},
        'best': best,
    }


def failure_case(rng, kind, track):
    return {
        'kind': kind,
        'track': track,
        'protocol': 'same',
        'text': 'A young man with black hair.',
        'described': '000001.jpg',
        'shown': '000002.jpg',
        'described_person': 1,
        'shown_person': 2 if kind == 'false match' else 1,
        'score': float(rng.random()),
        'threshold': float(rng.random()),
        'labels': {'Black_Hair': [1, 0], 'Male': [1, 1], 'Young': [1, -1]},
    }


def groups(rng, track):
    records = [
        {
            'attribute': attribute,
            'group': group,
            'track': track,
            'protocol': 'cross',
            'metric': metric,
            **around(rng, 0.2, sd=False),
            'texts': int(rng.integers(100, 2000)),
        }
        for attribute in ('Male', 'Young', 'Pale_Skin')
        for group in (attribute, f'not {attribute}')
        for metric in ('accuracy', 'far', 'frr')
    ]
    return {'rows': records, 'largest_gap': {'sentence': 'The largest gap is a made-up one.'}}


def attributes(rng, names):
    records = []
    for name in names:
        for change in ('unsaid', 'wrong'):
            drop = float(rng.exponential(0.3))
            records.append(
                {
                    'attribute': name,
                    'change': change,
                    'photos': int(rng.integers(20, 1000)),
                    'drop': drop / 4,
                    'drop_in_sd': drop,
                    'ci95': [drop - 0.1, drop + 0.1],
                }
            )
    return records


def spread(rng):
    names = ('fisher', 'silhouette', 'cos_within', 'cos_between')
    return {name: float(rng.random()) for name in names}


def path(rng):
    return [
        {'t': float(t), 'log_snr': float(8 - 16 * t), 'space': space, **spread(rng)}
        for t in np.linspace(1, 0, 6)
        for space in ('x_t', 'estimate', 'F of the estimate')
    ]


def sweep(rng):
    records = []
    for steps in (1, 2, 5, 10, 25, 50, 100, 250):
        for samples in (1, 4, 16):
            for guidance, eta in ((1.0, 0.0), (2.0, 0.0), (1.0, 1.0)):
                auc = 0.9 - 0.02 * np.log(steps) + 0.003 * samples - 0.01 * guidance
                shares = {
                    f'{m}_{p}': rng.random() for m in ('auc', 'accuracy') for p in ('cross', 'same')
                }
                records.append(
                    {
                        'num_steps': steps,
                        'num_samples': samples,
                        'guidance': guidance,
                        'eta': eta,
                        'auc': float(auc),
                        'ci95': [float(auc - 0.01), float(auc + 0.01)],
                        'accuracy': float(rng.random()),
                        'ms_per_text': float(0.05 * steps * samples * guidance),
                        **{name: float(value) for name, value in shares.items()},
                    }
                )
    names = ('num_steps', 'num_samples', 'guidance', 'eta')
    chosen = {name: records[1][name] for name in names} | {'guidance': 1.0}
    why = 'A made-up reason.'
    return {'split': 'validation', 'texts': 300, 'rows': records, 'chosen': chosen, 'why': why}


def ablation(rng, names=('full', 'no R', 'v prediction')):
    records = [
        {
            'name': name,
            'what': f'About {name}.',
            'changes': {'model.score.prediction': 'v'},
            'failed': None,
            'results': rows(rng, [name], ['grammar-100'], galleries=(100,)),
        }
        for name in names
    ]
    broken = {'name': 'likelihood', 'what': 'A score.', 'changes': {}}
    records.append({**broken, 'failed': 'a loss that is not finite', 'results': []})
    return {'split': 'test', 'num_steps': 1000, 'rows': records}


def poor_photos(rng, tracks, widths=(64.0, 12.0, 7.0)):
    """Searches with a poor photo by two methods, a photo alone and a text alone."""
    probes = [('text', 'diface', None)]
    for width in widths:
        names = ('photo', 'diface'), ('text+photo', 'diface'), ('text+photo', 'logistic mix')
        probes += [(probe, method, width) for probe, method in names]
    results, leads = [], []
    for track in tracks:
        for metric in ('auc', 'rank@10'):
            for probe, method, width in probes:
                where = {'track': track, 'probe': probe, 'face_px': width, 'method': method}
                results.append({**where, 'metric': metric, **around(rng, 0.6)})
            for width in widths:
                where = {'track': track, 'probe': 'text+photo', 'face_px': width}
                leads.append(
                    {**where, 'method': 'logistic mix', 'metric': metric, **around(rng, 0.1)}
                )
    return {'results': results, 'differences': leads, 'sampling': {}}


def card():
    count = {'photos': 1635, 'identities': 550, 'grammar sentences': 1635, 'human sentences': 301}
    data = {'root': 'nowhere', 'layout': 'auto', 'shares': [0.8, 0.1, 0.1], 'split_seed': 0}
    return {
        'name': 'made up',
        'encoders': {'face': [{'name': 'face net', 'sha256': 'ab' * 32, 'width': 128}]},
        'splits': {'train': count, 'validation': count, 'test': count},
        'no_embedding': [{'file': '1.jpg', 'why': 'no face'}],
        'problems': [],
        'notes': [
            {'file': '2.jpg', 'why': 'a faint face'},
            {'file': '3.jpg', 'why': 'a faint face'},
        ],
        'settings': {'data': data},
    }


def content(methods=METHODS, tracks=('grammar-100', 'human'), conditions=None, seed=0):
    """All sections; curves of the given conditions, by default a single one."""
    rng = np.random.default_rng(seed)
    conditions = conditions or [(tracks[0], 'cross', 'random')]
    return {
        'results': rows(rng, methods, tracks),
        'differences': differences(np.random.default_rng(seed), methods, tracks),
        'curves': curves(rng, methods, conditions),
        'attributes': attributes(rng, ATTRIBUTES),
        'mistakes': [
            failure_case(rng, kind, tracks[0]) for kind in ('false match', 'false non-match')
        ],
        'groups': groups(rng, tracks[0]),
        'clusters': [
            {'space': space, **spread(rng), 'rows': 1635, 'identities': 550}
            for space in ('X0, photos', 'recovered, texts', 'F, photos', 'F, texts')
        ],
        'path': path(rng),
        'panels': [example(rng, tracks[0], 3), example(rng, tracks[-1], 57.5)],
        'sweep': sweep(rng),
        'ablation': ablation(rng),
        'poor_photos': poor_photos(np.random.default_rng(seed), tracks),
        'data_card': card(),
        'config': {'seed': 0, 'sample': {'num_steps': 1, 'guidance': 1.0}},
        'commit': 'c0ffee',
        'settings': {'step': 3400, 'data': card()['settings']},
    }
