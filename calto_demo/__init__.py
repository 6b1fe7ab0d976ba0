"""A calling app on natkit, which shows which way each call goes: `calto serve`."""
