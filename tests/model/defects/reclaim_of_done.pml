/* The service thread takes a task for lost without a look at whether it was finished. */
#define DEFECT_RECLAIM_OF_DONE
#include "../configurations/death.pml"
