/* The worker says that it is busy only after the claim. */
#define DEFECT_CURRENT_AFTER_CLAIM
#include "../configurations/wakeups.pml"
