"""Learned fixed point: HLS fixed-point types, their arithmetic in torch, layers whose binary point is trained."""
