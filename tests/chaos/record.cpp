#include "record.hpp"

#include <cstdlib>
#include <cxxabi.h>
#include <memory>
#include <typeinfo>

#include <retinue/error.hpp>

namespace retinue_chaos {
namespace {

constexpr std::string_view kEnds[] = {"nothing",     "dropped",           "value",       "own exception",
                                      "RemoteError", "WorkerDied",        "TaskTimeout", "Cancelled",
                                      "PoolClosed",  "ResourceExhausted", "CodecError"};
static_assert(std::size(kEnds) == static_cast<std::size_t>(End::kCount));

std::string demangled(const std::type_info& type) {
  const std::unique_ptr<char, decltype(&std::free)> name(abi::__cxa_demangle(type.name(), nullptr, nullptr, nullptr),
                                                         &std::free);
  return name ? name.get() : type.name();
}

}  // namespace

std::string_view name_of(End end) { return kEnds[static_cast<std::size_t>(end)]; }

void Record::note(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const retinue::WorkerDied& e) {
    end = End::died;
    pid = e.worker_pid();
    signal = e.signal();
    exit_code = e.exit_code();
    what = e.what();
  } catch (const retinue::RemoteError& e) {
    end = End::remote;
    type = e.type_name();
    what = e.message();
  } catch (const retinue::TaskTimeout& e) {
    end = End::timed_out;
    what = e.what();
  } catch (const retinue::Cancelled& e) {
    end = End::cancelled;
    what = e.what();
  } catch (const retinue::PoolClosed& e) {
    end = End::closed;
    what = e.what();
  } catch (const retinue::ResourceExhausted& e) {
    end = End::exhausted;
    what = e.what();
  } catch (const retinue::CodecError& e) {
    end = End::codec;
    what = e.what();
  } catch (const std::exception& e) {
    end = End::own;
    type = demangled(typeid(e));
    what = e.what();
    if (const auto* upset = dynamic_cast<const Upset*>(&e)) digest = upset->mark;
  } catch (...) {
    end = End::own;
    type = "not a std::exception";
  }
}

std::string Record::describe() const {
  std::string text(name_of(end));
  if (!type.empty()) text += " " + type;
  if (end == End::died) text += " of " + std::to_string(pid);
  if (!what.empty()) text += ": " + what.substr(0, 300);
  return text;
}

}  // namespace retinue_chaos
