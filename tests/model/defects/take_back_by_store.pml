/* A cancel that looks and then stores: the task may be claimed between. */
#define DEFECT_TAKE_BACK_BY_STORE
#include "../configurations/taking_back.pml"
