/* A cancel that looks and then stores: the task may be claimed between. */
#define DEFECT_CANCEL_BY_STORE
#include "../configurations/cancelling.pml"
