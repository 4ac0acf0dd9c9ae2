"""States of frozen layers: what the adapted layers would have taken in, whatever the batch."""

import jax.numpy as jnp
import numpy as np
import pytest

from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.training.frozen_states import frozen_states
from tests.tiny_bert import random_tensors, save_model

SENTENCES = ['bald', 'blond beard hat', 'young smiling pale nose beard', 'hat', 'bald']


@pytest.fixture(scope='module')
def encoder(tmp_path_factory):
    folder = save_model(tmp_path_factory.mktemp('bert') / 'tiny', random_tensors())
    return load_text_encoder(str(folder))


@pytest.mark.parametrize('adapted', [1, 2])
def test_they_are_the_input_of_the_first_adapted_layer(encoder, adapted):
    states = frozen_states(encoder, SENTENCES, adapted)
    for text, sentence in enumerate(SENTENCES):
        tokens = jnp.array(encoder.tokens([sentence])[0])
        hidden_SxLxC = encoder.network(tokens, jnp.ones_like(tokens, bool))[:, 0]
        state_1xLxC, mask_1xL = states.padded(np.array([text]))
        assert mask_1xL.sum() == tokens.size == states.length_T[text]
        expected = hidden_SxLxC[encoder.num_layers - adapted]
        np.testing.assert_allclose(state_1xLxC[0, : tokens.size], expected, atol=5e-3)
