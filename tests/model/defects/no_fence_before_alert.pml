/* The submitter looks for sleepers without a fence between that look and its stores. */
#define DEFECT_NO_FENCE_BEFORE_ALERT
#include "../configurations/wakeups.pml"
