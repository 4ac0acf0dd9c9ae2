"""States of frozen layers: what the adapted layers would have taken in, whatever the batch."""

import numpy as np
from flax import nnx

from diface_jax.encoders.text.encoder import load_text_encoder
from diface_jax.training.frozen_states import frozen_states
from tests.tiny_bert import random_tensors, save_model

SENTENCES = ['bald', 'blond beard hat', 'young smiling pale nose beard', 'hat', 'bald']


def test_they_are_the_input_of_the_first_adapted_layer(tmp_path):
    encoder = load_text_encoder(str(save_model(tmp_path / 'tiny', random_tensors())))
    states = frozen_states(encoder, SENTENCES, adapted=1)
    tokens_BxL, mask_BxL = encoder.tokens(SENTENCES)
    hidden_SxBxLxC = nnx.jit(lambda network, *batch: network(*batch))(
        encoder.network, tokens_BxL, mask_BxL
    )
    expected_BxLxC = np.asarray(hidden_SxBxLxC[-2])
    for text, mask_L in enumerate(mask_BxL):
        state_1xLxC, mask_1xL = states.padded(np.array([text]))
        assert state_1xLxC.shape[1] == 16
        assert mask_1xL.sum() == mask_L.sum() == states.length_T[text]
        np.testing.assert_allclose(state_1xLxC[mask_1xL], expected_BxLxC[text, mask_L], atol=5e-3)
    different = sum(len(sentence.split()) + 2 for sentence in set(SENTENCES))
    assert len(states.state_NxC) == different, 'equal sentences share their states'
