"""How ``torch.save`` and ``torch.load`` read and write files: the archive, the pickles, the older formats."""
