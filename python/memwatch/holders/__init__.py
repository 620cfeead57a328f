"""What holds the memory: variables, Out, frames, figures, modules."""
