"""The package's rooms: what may import what, and how long its functions are."""

import ast
import collections
import graphlib
import pathlib
import statistics

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / 'diface_jax').rglob('*.py'))
TREES = {path: ast.parse(path.read_text()) for path in FILES}

# A package, and the packages that it must not import.
FORBIDDEN = {
    'gallery': {'evaluation', 'cli', 'web'},
    'evaluation': {'gallery', 'cli', 'web'},
    'models': {'training', 'evaluation', 'gallery', 'cli', 'web'},
    'diffusion': {'models', 'training', 'evaluation', 'gallery', 'cli', 'web'},
    'training': {'gallery', 'cli', 'web'},
    'data': {'training', 'evaluation', 'gallery', 'cli', 'web'},
    'encoders': {'data', 'training', 'evaluation', 'gallery', 'cli', 'web'},
    'report': {'training', 'evaluation', 'gallery', 'cli', 'web'},
    'costs': {'evaluation', 'gallery', 'cli', 'web'},
    'runtime': {'data', 'models', 'training', 'evaluation', 'gallery', 'report', 'cli', 'web'},
    'web': {'evaluation', 'cli'},
}


def module_of(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


MODULES = {module_of(path): path for path in FILES}


def imported_by(tree):
    """The project's modules that a module imports, also inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f'{node.module}.{alias.name}'
                yield from (name for name in (whole, node.module) if name in MODULES)


IMPORTS = {module: set(imported_by(TREES[path])) for module, path in MODULES.items()}


def package_of(module):
    return module.split('.')[1] if '.' in module else ''


@pytest.mark.parametrize('package', FORBIDDEN)
def test_a_package_does_not_import_what_lies_above_it(package):
    wrong = [
        f'{module} imports {imported}'
        for module, imports in IMPORTS.items()
        if package_of(module) == package
        for imported in imports
        if package_of(imported) in FORBIDDEN[package]
    ]
    assert not wrong


def test_only_the_entry_points_import_the_command_line():
    allowed = {'diface_jax.main', 'diface_jax.__main__'}
    importers = {
        module
        for module, imports in IMPORTS.items()
        if any(package_of(imported) == 'cli' for imported in imports)
        and package_of(module) != 'cli'
    }
    assert importers <= allowed


def test_the_pipeline_imports_a_stage_only_when_it_runs():
    module = 'diface_jax.cli.pipeline'
    at_once = [
        node for node in TREES[MODULES[module]].body if not isinstance(node, ast.FunctionDef)
    ]
    of_all_stages = {
        package_of(name)
        for node in at_once
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in imported_by(node)
    }
    assert of_all_stages <= {'cli', 'data', 'encoders', 'runtime'}


def test_modules_import_each_other_in_one_direction():
    """Raises CycleError with the cycle, if there is one."""
    graph = {
        module: {name for name in imports if name != module and MODULES[name].name != '__init__.py'}
        for module, imports in IMPORTS.items()
    }
    assert list(graphlib.TopologicalSorter(graph).static_order())


def test_the_root_of_the_package_holds_the_entry_points_alone():
    names = {path.stem for path in (ROOT / 'diface_jax').glob('*.py')}
    assert names == {'__init__', '__main__', 'main', 'model'}


def functions():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f'{module_of(path)}.{node.name}', node.end_lineno - node.lineno + 1


def test_functions_are_short():
    lines = dict(functions())
    assert statistics.median(lines.values()) <= 8
    assert [name for name, count in lines.items() if count > 60] == []


def test_a_public_name_stands_for_one_thing():
    places = collections.defaultdict(list)
    for module, path in MODULES.items():
        for node in TREES[path].body:
            is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name[0] != '_'
            if is_public:
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def test_the_readme_can_be_read_in_one_go():
    assert len((ROOT / 'README.md').read_text().splitlines()) <= 200


# Names that say nothing about the value they stand for.
EMPTY_NAMES = {'found', 'made', 'some', 'about', 'one'}


def test_names_say_what_they_stand_for():
    names = [
        (name, module_of(path))
        for path, tree in TREES.items()
        for node in ast.walk(tree)
        for name in (
            getattr(node, 'id', None)
            if isinstance(getattr(node, 'ctx', None), ast.Store)
            else None,
            getattr(node, 'arg', None) if isinstance(node, ast.arg) else None,
            getattr(node, 'name', None) if isinstance(node, ast.FunctionDef) else None,
        )
    ]
    assert [place for place in names if place[0] in EMPTY_NAMES] == []
