"""Old import paths go on, with a warning that names the new one."""

import importlib
import sys

import pytest

from freeze_omni.moved import MOVED, RENAMED


@pytest.mark.parametrize(("old", "new"), MOVED.items())
def test_a_moved_module_has_the_names_of_its_new_place(old, new):
    sys.modules.pop(f"freeze_omni.{old}", None)
    with pytest.warns(DeprecationWarning, match=f"freeze_omni.{old} is now freeze_omni.{new}"):
        there = importlib.import_module(f"freeze_omni.{old}")
    here = importlib.import_module(f"freeze_omni.{new}")
    names = [name for name in vars(here) if not name.startswith("_")]
    assert names or old == "serving"
    assert all(getattr(there, name) is getattr(here, name) for name in names)


@pytest.mark.parametrize(("old", "name"), RENAMED.items())
def test_a_renamed_class_is_found_by_its_old_name(old, name):
    module, _, was = old.rpartition(".")
    there = importlib.import_module(f"freeze_omni.{module}")
    assert getattr(there, was) is getattr(there, name)


def test_other_names_are_not_found():
    with pytest.raises(ModuleNotFoundError, match="freeze_omni.nowhere"):
        importlib.import_module("freeze_omni.nowhere")
    with pytest.raises(ImportError, match="no_such_name"):
        exec("from freeze_omni.server.conversation import no_such_name")
