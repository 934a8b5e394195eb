// Maps over a pool.
#include <memory>
#include <utility>

#include <retinue/process_pool.hpp>

#include "interpreter/helpers.hpp"
#include "patterns/map.hpp"
#include "patterns/map_options.hpp"
#include "pool/pool_object.hpp"

namespace retinue::python {
namespace {

// In the line that called `map` of an executor, which calls a function that calls this.
int warn_of_too_much() {
  return in_python([] {
    return PyErr_WarnEx(
        PyExc_RuntimeWarning,
        "a map's inputs are more than is read in the call (64 MB, or an eighth of the limit of shared memory): "
        "the others are read as results are taken, as they are then. Say buffersize= to have all read so",
        3);
  });
}

}  // namespace

PyObject* map(PyObject* self, PyObject* arguments) noexcept {
  return guarded([&]() -> PyObject* {
    PyObject *callable = nullptr, *iterables = nullptr, *given = nullptr;
    if (!PyArg_ParseTuple(arguments, "OO!O:_map", &callable, &PyTuple_Type, &iterables, &given)) return nullptr;
    MapOptions options;
    map_options_table.read(given, options);
    MapPlan plan;
    plan.deadline = options.deadline;
    plan.timeout = std::move(options.timeout);
    plan.star = options.star;
    plan.order = options.ordered ? detail::Order::inputs : detail::Order::completion;
    plan.options = options.task;
    plan.options.look_ahead = options.look_ahead;
    plan.results_first = options.reading == Reading::in_call || options.look_ahead != 0;

    plan.core = started_core_of(self);
    Pool& pool = pool_of(self);
    plan.core->check_open();
    plan.scope = pool.scope;
    pool.maps.sweep();
    helpers::release_deleted();
    take_inputs(plan, iterables, options.reading);
    if (Object parts = helpers::split_partial(callable, pool.scope.get()); parts.get() != Py_None) {
      callable = PyTuple_GET_ITEM(parts.get(), 0);
      plan.bound = std::move(parts);
    }
    plan.function = pool.functions.for_map(callable, pool.scope.get(), plan.core->reach());
    auto tasks = std::make_shared<MapTasks>(std::move(plan));
    pool.maps.add(tasks);
    const Object map = make_map(options.iterator != nullptr ? options.iterator : &MapType, tasks, pool.maps,
                                self);  // from here on it looks after what its tasks need
    tasks->start();
    if (tasks->was_too_much() && warn_of_too_much() < 0) {
      const SavedError saved;
      tasks->close();
      return nullptr;
    }
    return Py_NewRef(map.get());
  });
}

}  // namespace retinue::python
