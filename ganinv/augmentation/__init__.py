"""Augmentation of what a discriminator judges, after ADA.

Karras et al., "Training Generative Adversarial Networks with Limited Data", arXiv 2006.06676. D
sees real and generated images alike through random transformations T, each of them with
probability p; G gets its gradient through T. While p is below about 0.8, T does not leak into
generated images (§2.2). The encoder sees images without T, so that codes hold none of it.
"""
