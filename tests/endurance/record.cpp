#include "modes.hpp"

#include <iomanip>
#include <iostream>
#include <unistd.h>

namespace endurance {

Record::Record(const Options& options, std::string what) : options_(options), what_(std::move(what)) {
  samples_.reserve(4096);  // they are no growth
  if (options.csv.empty()) return;
  // One file for all runs of a mode: the first column says which.
  csv_.open(options.csv, std::ios::app);
  if (!csv_) throw std::runtime_error("cannot write to " + options.csv);
  if (csv_.tellp() != 0) return;
  csv_ << "run,seconds";
  for (const Metric& metric : kMetrics) csv_ << ',' << metric.column;
  csv_ << '\n';
}

void Record::sample(const std::string& progress) {
  const Usage usage = usage_of(::getpid());
  samples_.push_back(usage);
  if (csv_.is_open()) {
    csv_ << what_ << ',' << seconds_since(start_);
    for (const Metric& metric : kMetrics) csv_ << ',' << usage.*metric.value;
    csv_ << std::endl;  // so that a run that is ended has written what it found
  }
  static const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  if (!terminal && Clock::now() - told_ < 1min) return;
  told_ = Clock::now();
  std::cout << std::fixed << std::setprecision(0) << std::setw(6) << seconds_since(start_) << " s  " << progress
            << ": owner " << usage.owner_private << " KB, all " << usage.all_pss << " KB, shared " << usage.shared
            << " KB, " << usage.all_descriptors << " descriptors, " << usage.all_mappings << " mappings, "
            << usage.threads << " threads, " << usage.processes << " processes" << std::endl;
}

bool Record::judge() const {
  std::cout << "\n"
            << what_ << ", " << samples_.size() << " samples in " << std::fixed << std::setprecision(1)
            << seconds_since(start_) << " s\n\n";
  std::cout << "| | second quarter | last quarter | growth | its standard error | allowed | |\n| --- | ---: | ---: | "
               "---: | ---: | ---: | --- |\n";
  const std::string trouble = what_grows(samples_, options_.allowed);
  if (samples_.size() >= kMinSamples) {
    for (const Metric& metric : kMetrics) {
      const Growth growth = growth_of(samples_, metric);
      const double allowed = options_.allowed.of(metric);
      const char* const unit = metric.kilobytes ? " KB" : "";
      std::cout << "| " << metric.name << " | " << growth.before << unit << " | " << growth.after << unit << " | "
                << std::showpos << growth.growth() << std::noshowpos << unit << " | " << growth.error << unit << " | "
                << allowed << unit << " | " << (growth.is_beyond(allowed) ? "**grows**" : "") << " |\n";
    }
  }
  std::cout << "\n" << (trouble.empty() ? "Nothing grows." : "It grows: " + trouble) << std::endl;
  return trouble.empty();
}

}  // namespace endurance
