"""The terms of a model are those of all photographs that it learned from."""

from diface_jax.pretrained.terms import terms_of


def test_terms():
    both = terms_of(['celeba', 'lfw'])
    assert both == 'for non-commercial research only, like the photographs of CelebA and LFW'
    own = terms_of(['folder'])
    assert own == 'as the terms of its own training photographs allow'
    assert terms_of(['folder'], before=both) == f'{both}; {own}'
    assert terms_of(['celeba', 'lfw'], before=both) == both
