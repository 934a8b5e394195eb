/* A claim that compares the tag alone takes the slot's next task for the one it saw. */
#define DEFECT_POSITION_NOT_CHECKED
#include "../configurations/reuse.pml"
