"""What the learning-rate schedulers do to a learning rate, step by step."""

import torch
from torch.optim import SGD, lr_scheduler


def optimizer(lr=1.0):
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)


def rates(make, steps=8):
    opt = optimizer()
    scheduler = make(opt)
    seen = []
    for _ in range(steps):
        seen.append(scheduler.get_last_lr()[0])
        opt.step()
        scheduler.step()
    return seen


def warm_then_cosine(opt):
    warm = lr_scheduler.LinearLR(opt, start_factor=0.25, total_iters=3)
    return lr_scheduler.SequentialLR(opt, [warm, lr_scheduler.CosineAnnealingLR(opt, T_max=5)], milestones=[3])


SCHEDULES = {
    "StepLR": lambda opt: lr_scheduler.StepLR(opt, step_size=3, gamma=0.1),
    "MultiStepLR": lambda opt: lr_scheduler.MultiStepLR(opt, milestones=[2, 5], gamma=0.5),
    "ExponentialLR": lambda opt: lr_scheduler.ExponentialLR(opt, gamma=0.9),
    "LambdaLR": lambda opt: lr_scheduler.LambdaLR(opt, lambda step: 1 / (1 + step)),
    "PolynomialLR": lambda opt: lr_scheduler.PolynomialLR(opt, total_iters=6, power=2.0),
    "CosineAnnealingLR": lambda opt: lr_scheduler.CosineAnnealingLR(opt, T_max=7, eta_min=0.01),
    "CosineWarmRestarts": lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, T_0=3),
    "CyclicLR": lambda opt: lr_scheduler.CyclicLR(opt, base_lr=0.1, max_lr=1.0, step_size_up=3),
    "OneCycleLR": lambda opt: lr_scheduler.OneCycleLR(opt, max_lr=1.0, total_steps=10),
    "warm-up, cosine": warm_then_cosine,
}

for name, make in SCHEDULES.items():
    print(f"{name:18s}", " ".join(f"{rate:.4f}" for rate in rates(make)))

opt = optimizer()
plateau = lr_scheduler.ReduceLROnPlateau(opt, factor=0.5, patience=1)
seen = []
for loss in (1.0, 0.8, 0.81, 0.82, 0.83, 0.5, 0.51, 0.52):
    plateau.step(loss)
    seen.append(opt.param_groups[0]["lr"])
print(f"{'ReduceLROnPlateau':18s}", " ".join(f"{rate:.4f}" for rate in seen))
