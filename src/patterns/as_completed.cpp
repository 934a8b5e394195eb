#include <retinue/as_completed.hpp>

#include <numeric>
#include <string>

namespace retinue::detail {

CompletionOrder::CompletionOrder(std::vector<Completion*> set, const Deadline& deadline)
    : waiting_(std::move(set)), places_(waiting_.size()), all_(waiting_.size()), deadline_(deadline) {
  std::iota(places_.begin(), places_.end(), std::size_t{0});
}

bool CompletionOrder::next(std::size_t& index) {
  if (given_ == done_.size()) {
    if (waiting_.empty()) return false;
    done_.clear();
    given_ = 0;
    gather();
    while (done_.empty()) {
      if (!wait_for_any(waiting_, deadline_)) {
        throw TaskTimeout("as_completed: " + std::to_string(waiting_.size()) + " of " + std::to_string(all_) +
                          " futures were not done within the timeout; their tasks go on");
      }
      gather();
    }
  }
  index = done_[given_++];
  return true;
}

void CompletionOrder::gather() {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < waiting_.size(); ++i) {
    if (waiting_[i]->done()) {
      done_.push_back(places_[i]);
    } else {
      waiting_[kept] = waiting_[i];
      places_[kept] = places_[i];
      ++kept;
    }
  }
  waiting_.resize(kept);
  places_.resize(kept);
}

}  // namespace retinue::detail
