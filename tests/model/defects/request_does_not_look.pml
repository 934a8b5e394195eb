/* The owner requests a ring of a slot that is done by now, and sleeps. */
#define DEFECT_REQUEST_DOES_NOT_LOOK
#include "../configurations/futures.pml"
